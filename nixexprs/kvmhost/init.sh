#!/bin/sh
# kvmhost/init.sh: the host's first process. It loads KVM, runs /bench/run, whose output goes to the second serial port,
# and turns the machine off. The first serial port has the kernel's messages, and what goes wrong here.
export PATH=/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ip link set lo up
for module in irqbypass kvm kvm-amd; do
    insmod "/lib/modules/$module.ko"
done
ls -l /dev/kvm
stty -F /dev/ttyS1 raw
sh /bench/run >/dev/ttyS1 2>&1 </dev/null
echo "kvmhost: the bench has ended with status $?, after $(cut -d' ' -f1 /proc/uptime) s"
poweroff -f

# boot/build.sh: assemble the boot sector.
# env  sector   boot/boot.S
# out  boot.bin

cd /build/obj
gcc -c -x assembler-with-cpp -o boot.o "$sector"
ld -Ttext 0x7c00 --oformat binary -o boot.bin boot.o

mkdir "$out"
cp boot.bin "$out"
chmod 444 "$out/boot.bin"

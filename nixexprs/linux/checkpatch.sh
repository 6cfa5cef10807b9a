# linux/checkpatch.sh: what the kernel's own checker says of patches. For ukl kernel check; no stage uses it.
# env  /build/src  a kernel source      patches  directory of NNNN-*.patch
# out  on stdout a line for each remark: FILE:LINE: LEVEL:TYPE: TEXT

cd /build/src
for p in "$patches"/*.patch; do
    # Its exit code says only that there are remarks. What it says on stderr is that the tree has no git and no module
    # for SPDX.
    perl scripts/checkpatch.pl --strict --terse --show-types --no-summary "$p" 2>/dev/null || true
done

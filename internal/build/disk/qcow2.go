package disk

import (
	"bytes"
	"encoding/binary"
)

// clusterBits is QEMU's usual size of a cluster, 64 KiB.
const clusterBits = 16

// copied marks a cluster that has one reference.
const copied = 1 << 63

// QCOW2 returns a disk in QEMU's format (version 3). Clusters of zeros take no room. The disk must be whole sectors
// long.
func QCOW2(disk []byte) []byte { return qcow2(disk, clusterBits) }

func qcow2(disk []byte, bits int) []byte {
	cluster := 1 << bits
	perTable := cluster / 8  // entries of a table
	perCounts := cluster / 2 // reference counts of 16 bits
	var data [][]byte        // clusters that are not zeros
	used := map[int]int{}
	zero := make([]byte, cluster)
	for i := 0; i*cluster < len(disk); i++ {
		c := disk[i*cluster : min((i+1)*cluster, len(disk))]
		if !bytes.Equal(c, zero[:len(c)]) {
			used[i] = len(data)
			data = append(data, c)
		}
	}
	virtual := (len(disk) + cluster - 1) / cluster
	l2s := (virtual + perTable - 1) / perTable
	l1 := (l2s*8 + cluster - 1) / cluster
	// The reference counts count their own clusters, too.
	counts := 1
	total := func() int { return 2 + counts + l1 + l2s + len(data) }
	for counts*perCounts < total() {
		counts++
	}
	// The table of reference counts has one cluster: with 64 KiB enough for 16 TB.
	const tableAt, countsAt = 1, 2
	l1At := countsAt + counts
	l2At := l1At + l1
	dataAt := l2At + l2s

	out := make([]byte, total()*cluster)
	be := binary.BigEndian
	copy(out, "QFI\xfb")
	be.PutUint32(out[4:], 3)
	be.PutUint32(out[20:], uint32(bits))
	be.PutUint64(out[24:], uint64(len(disk)))
	be.PutUint32(out[36:], uint32(l2s))
	be.PutUint64(out[40:], uint64(l1At*cluster))
	be.PutUint64(out[48:], uint64(tableAt*cluster))
	be.PutUint32(out[56:], 1) // clusters of the table of reference counts
	be.PutUint32(out[96:], 4) // 1<<4 bits each
	be.PutUint32(out[100:], 104)

	for i := range counts {
		be.PutUint64(out[tableAt*cluster+8*i:], uint64((countsAt+i)*cluster))
	}
	for i := range total() {
		be.PutUint16(out[countsAt*cluster+2*i:], 1)
	}
	for i := range l2s {
		be.PutUint64(out[l1At*cluster+8*i:], copied|uint64((l2At+i)*cluster))
	}
	for i, n := range used {
		be.PutUint64(out[l2At*cluster+8*i:], copied|uint64((dataAt+n)*cluster))
	}
	for n, c := range data {
		copy(out[(dataAt+n)*cluster:], c)
	}
	return out
}

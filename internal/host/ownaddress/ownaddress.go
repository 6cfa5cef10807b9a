// Package ownaddress tells which addresses are of this machine, or of services that trust it for its place: what is
// sent there on behalf of a stranger speaks in the name of this machine.
package ownaddress

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Table knows the addresses of this machine's interfaces. The zero value is ready.
type Table struct {
	mu   sync.Mutex
	at   time.Time
	list map[netip.Addr]bool
}

// fresh is how long the interfaces' addresses are not asked for again.
const fresh = time.Second

// metadata is where machines of some clouds find what others find at 169.254.169.254: their keys.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):   true, // Amazon
	netip.MustParseAddr("fd20:ce::254"):    true, // Google
	netip.MustParseAddr("fd00:42::42"):     true, // Scaleway
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba
	netip.MustParseAddr("168.63.129.16"):   true, // Azure
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle
}

// Has tells whether what is sent to an address stays on this machine or its link, or may: a group has members here,
// too. A link-local address is that of a neighbour, who may serve this machine alone, as clouds serve keys there.
func (t *Table) Has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || metadata[a] {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil || time.Since(t.at) > fresh {
		all, err := net.InterfaceAddrs()
		if err != nil {
			return true
		}
		t.list, t.at = map[netip.Addr]bool{}, time.Now()
		for _, n := range all {
			if p, err := netip.ParsePrefix(n.String()); err == nil {
				t.list[p.Addr().Unmap()] = true
			}
		}
	}
	return t.list[a] || !leaves(a)
}

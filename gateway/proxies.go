package main

import (
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// behindProxies listens where load balancers say by the PROXY protocol, version 1 or 2, who connects, so that `allow` and
// the limits for each address are about senders and not about the balancer. Only the named balancers are asked, and
// believed; any other connection is taken as it is.
func behindProxies(address string, from []netip.Prefix) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &proxyproto.Listener{Listener: l, ReadHeaderTimeout: 2 * time.Second, ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		if peer, err := netip.ParseAddrPort(o.Upstream.String()); err == nil {
			for _, p := range from {
				if p.Contains(peer.Addr().Unmap()) {
					return proxyproto.REQUIRE, nil
				}
			}
		}
		return proxyproto.SKIP, nil
	}}, nil
}

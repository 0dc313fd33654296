package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// balancer connects to one of the cluster's servers and moves on when that one is gone. It stands
// for K3S's client load balancer, one level lower: it is the dialer of the node's API client.
type balancer struct {
	mutex   sync.Mutex
	file    string   // where the list survives a restart; "" keeps it in memory
	joined  string   // host:port of the server from the configuration
	servers []string // host:port, the preferred one first
	open    map[net.Conn]string
	local   func() string // a server's own API when it is up, else ""
}

type balancerFile struct {
	ServerURL       string   `json:"ServerURL"`
	ServerAddresses []string `json:"ServerAddresses"`
}

func newBalancer(joined, file string) *balancer {
	b := &balancer{file: file, joined: joined, open: map[net.Conn]string{}}
	if joined != "" {
		b.servers = []string{joined}
	}
	kept := balancerFile{}
	if content, err := os.ReadFile(file); err == nil && json.Unmarshal(content, &kept) == nil {
		b.learn(kept.ServerAddresses)
	}
	return b
}

// candidates are the addresses to try, in order.
func (b *balancer) candidates() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	all := []string{}
	if b.local != nil {
		if own := b.local(); own != "" {
			all = append(all, own)
		}
	}
	return append(all, b.servers...)
}

// learn takes over the cluster's list. The server in use stays first while it is in the list; the
// server from the configuration stays last, so that a new list can be had from it.
func (b *balancer) learn(addresses []string) {
	if len(addresses) == 0 {
		return
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	next := []string{}
	for _, address := range b.servers {
		if slices.Contains(addresses, address) {
			next = append(next, address)
		}
	}
	for _, address := range append(slices.Sorted(slices.Values(addresses)), b.joined) {
		if address != "" && !slices.Contains(next, address) {
			next = append(next, address)
		}
	}
	if slices.Equal(next, b.servers) {
		return
	}
	b.servers = next
	infof("Updated load balancer server addresses -> %v", next)
	b.save()
}

func (b *balancer) save() {
	if b.file == "" {
		return
	}
	content, err := json.Marshal(balancerFile{ServerURL: "https://" + b.joined, ServerAddresses: b.servers})
	if err == nil {
		err = writeFile(b.file, content, 0o600)
	}
	if err != nil {
		warningf("failed to keep the list of servers: %v", err)
	}
}

// dial ignores the address asked for: all servers answer to the name kubernetes.
func (b *balancer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var last error
	for _, address := range b.candidates() {
		dialer := net.Dialer{Timeout: 2 * time.Second, KeepAlive: 10 * time.Second}
		connection, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			last = err
			b.demote(address)
			continue
		}
		tracked := &trackedConnection{Conn: connection, owner: b}
		b.mutex.Lock()
		b.open[tracked] = address
		b.mutex.Unlock()
		return tracked, nil
	}
	if last == nil {
		last = fmt.Errorf("no server is known")
	}
	return nil, last
}

// demote puts a server that does not answer behind the others and cuts what hangs on it.
func (b *balancer) demote(address string) {
	b.mutex.Lock()
	cut := []net.Conn{}
	if index := slices.Index(b.servers, address); index >= 0 {
		b.servers = append(slices.Delete(b.servers, index, index+1), address)
	}
	for connection, at := range b.open {
		if at == address {
			cut = append(cut, connection)
		}
	}
	b.mutex.Unlock()
	for _, connection := range cut {
		connection.Close()
	}
}

// avoid moves on from the server in front when it turns out to belong to another cluster.
func (b *balancer) avoid(err error) {
	stranger := x509.UnknownAuthorityError{}
	if !errors.As(err, &stranger) {
		return
	}
	if candidates := b.candidates(); len(candidates) > 1 {
		warningf("%s is no server of this node's cluster", candidates[0])
		b.demote(candidates[0])
	}
}

// watch finds out within seconds that a server in use is gone, which TCP alone would not.
func (b *balancer) watch(ctx context.Context) {
	for pause(ctx, 3*time.Second) == nil {
		for _, address := range b.inUse() {
			connection, err := net.DialTimeout("tcp", address, 3*time.Second)
			if err != nil {
				warningf("Health check failed for server %s: %v", address, err)
				b.demote(address)
				continue
			}
			connection.Close()
		}
	}
}

func (b *balancer) inUse() []string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	addresses := []string{}
	for _, address := range b.open {
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

type trackedConnection struct {
	net.Conn
	owner *balancer
}

func (c *trackedConnection) Close() error {
	c.owner.mutex.Lock()
	delete(c.owner.open, c)
	c.owner.mutex.Unlock()
	return c.Conn.Close()
}

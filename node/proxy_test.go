package node

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy is a way to a server that breaks. It passes bytes on until it is told to cut.
type proxy struct {
	listener net.Listener
	wg       sync.WaitGroup
	budget   atomic.Int64 // bytes, both ways together, until all connections break; negative: they do not

	mu    sync.Mutex // guards what follows
	to    string
	conns map[net.Conn]bool
}

// newProxy listens for a server; the test's end closes it.
func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, to: to, conns: make(map[net.Conn]bool)}
	p.budget.Store(-1)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// retarget leads new connections to another server.
func (p *proxy) retarget(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// cutAfter breaks all connections once so many more bytes have passed.
func (p *proxy) cutAfter(bytes int64) { p.budget.Store(bytes) }

// cut breaks all connections now: with a reset, so that what lies in buffers is lost.
func (p *proxy) cut() {
	p.budget.Store(-1)
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	clear(p.conns)
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		far, err := net.Dial("tcp", to)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns[near], p.conns[far] = true, true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(near, far) })
		p.wg.Go(func() { p.pass(far, near) })
	}
}

// pass copies bytes one way.
func (p *proxy) pass(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	chunk := make([]byte, 4<<10)
	for {
		n, err := from.Read(chunk)
		if left := p.budget.Load(); left >= 0 {
			if int64(n) >= left && p.budget.CompareAndSwap(left, -1) {
				_, _ = to.Write(chunk[:left]) // a message may break anywhere
				p.cut()
				return
			}
			p.budget.Add(-int64(n))
		}
		if _, bad := to.Write(chunk[:n]); bad != nil || err != nil {
			if err != nil && !errors.Is(err, io.EOF) {
				p.cut()
			}
			return
		}
	}
}

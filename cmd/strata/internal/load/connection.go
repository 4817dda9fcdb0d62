package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// grace is what the connection is given beyond the node's own time-out.
	grace = time.Second
	// maxAnswerBytes bounds the body of an answer.
	maxAnswerBytes = 4 << 20
	// maxIdle is the age after which an unused connection is replaced: the
	// node may be about to close it, and an event would be lost for nothing.
	maxIdle = 10 * time.Second
)

// dialFunc opens a connection to a target.
type dialFunc func(ctx context.Context, t target) (net.Conn, error)

func dial(ctx context.Context, t target) (net.Conn, error) {
	var d net.Dialer
	if t.tls {
		return (&tls.Dialer{NetDialer: &d}).DialContext(ctx, "tcp", t.address)
	}
	return d.DialContext(ctx, "tcp", t.address)
}

// connection is a persistent HTTP connection to one target that is opened
// when first needed and again after an error. It belongs to one goroutine.
//
// It writes a finished request with one system call and leaves the parsing of
// the answer to fasthttp. Against fasthttp's whole client this saves a tenth
// of the generator's CPU, and gives it the net.Conn to close on cancellation.
type connection struct {
	ctx    context.Context // ends every exchange
	dial   dialFunc
	target target
	limit  time.Duration // of an exchange

	conn      net.Conn
	release   func() bool // takes back what closes conn when ctx ends
	reader    *bufio.Reader
	answer    fasthttp.Response
	deadline  time.Time // set on conn
	idleSince time.Time
}

// exchange sends a request and waits for its answer. The body is valid until
// the next exchange. An error of the transport closes the connection; nothing
// is sent twice.
func (c *connection) exchange(request []byte) (status int, body []byte, err error) {
	if err := c.prepare(); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(request); err != nil {
		c.close()
		return 0, nil, err
	}
	if err := c.answer.ReadLimitBody(c.reader, maxAnswerBytes); err != nil {
		c.close()
		return 0, nil, err
	}
	if c.answer.ConnectionClose() {
		c.close()
	}
	c.idleSince = time.Now()
	return c.answer.StatusCode(), c.answer.Body(), nil
}

// prepare leaves the connection open, with time enough for an exchange.
func (c *connection) prepare() error {
	now := time.Now()
	if c.conn != nil && now.Sub(c.idleSince) > maxIdle {
		c.close()
	}
	if c.conn == nil {
		ctx, cancel := context.WithTimeout(c.ctx, c.limit)
		defer cancel()
		conn, err := c.dial(ctx, c.target)
		if err != nil {
			return err
		}
		c.conn, c.deadline = conn, time.Time{}
		c.release = context.AfterFunc(c.ctx, func() { conn.Close() })
		if c.reader == nil {
			c.reader = bufio.NewReaderSize(conn, 8<<10)
		}
		c.reader.Reset(conn)
	}
	// Moving a deadline costs a microsecond, so it is set for a while ahead
	// and moved only when too little of it is left: an exchange is cut off
	// between limit and limit + grace.
	if now.Add(c.limit).After(c.deadline) {
		c.deadline = now.Add(c.limit + grace)
		return c.conn.SetDeadline(c.deadline)
	}
	return nil
}

func (c *connection) close() {
	if c.conn == nil {
		return
	}
	c.release()
	c.conn.Close()
	c.conn = nil
}

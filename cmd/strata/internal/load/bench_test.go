package load

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
	"time"
)

// BenchmarkEvent is the cost of an event of its own for every request.
func BenchmarkEvent(b *testing.B) {
	r := newRequest(target{}, Config{EventBytes: DefaultEventBytes})
	for seq := uint64(0); b.Loop(); seq++ {
		r.set(seq)
	}
}

// BenchmarkSend is the whole path of an event on one connection over loopback,
// against a server that does next to nothing in the same process.
func BenchmarkSend(b *testing.B) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- answerAll(l) }()

	t, err := parseTarget("http://" + l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c := Config{Token: "secret", EventBytes: DefaultEventBytes, Timeout: DefaultTimeout, Duration: time.Hour}
	g := &generator{Config: c, dial: dial, targets: []target{t}, recorders: []*recorder{newRecorder(0)}, start: time.Now()}
	s := g.newSender(context.Background(), 0)
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		if !s.send(arrival{seq: seq, due: g.now()}) {
			b.Fatal("failed: ", g.recorders[0].total.codes)
		}
	}
	s.close()
	if err := <-served; err != nil {
		b.Fatal(err)
	}
}

// answerAll serves one connection until its end.
func answerAll(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2000\r\n\r\n" + string(make([]byte, 2000)))
	reader := bufio.NewReader(conn)
	for {
		if _, err := reader.Peek(1); err != nil {
			return nil // the client is done
		}
		request, err := http.ReadRequest(reader)
		if err != nil {
			return err
		}
		if _, err := reader.Discard(int(request.ContentLength)); err != nil {
			return err
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
	}
}

// Package webhook posts JSON from a node to its operator's services, signed, and
// reads what they answer.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxAnswerBytes bounds how much of an answer is read.
	MaxAnswerBytes  = 64 << 10
	maxHeaderBytes  = 16 << 10
	dialTimeout     = 5 * time.Second
	idleTimeout     = 90 * time.Second
	idleConnections = 2
)

// Hook is where a node posts to.
type Hook struct {
	URL    string
	Secret Secret
	// Timeout bounds one try, from the dial to the answer's last byte.
	Timeout time.Duration
}

// Answer is what came back with a status of 2xx.
type Answer struct {
	Body []byte
	// Cut says that there was more than MaxAnswerBytes.
	Cut bool
}

// Failure is why a post was not answered with 2xx.
type Failure struct {
	// Status is that of HTTP, or 0 if there was no answer in time.
	Status int
	// Final says that the same post would be answered alike again.
	Final  bool
	Reason string
}

// Error implements error.
func (f *Failure) Error() string { return f.Reason }

// Client posts. It is safe for concurrent use.
type Client struct {
	http *http.Client
	now  func() time.Time
}

// NewClient returns a client that signs with the time of a clock.
func NewClient(now func() time.Time) *Client {
	return &Client{now: now, http: &http.Client{
		// Where a post goes is for the operator to say, not for who answers.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    idleConnections,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		},
	}}
}

// Close lets go of connections that nothing uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Post tries once to post a body. Errors are Failures.
func (c *Client) Post(ctx context.Context, h *Hook, delivery string, body []byte) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return nil, &Failure{Final: true, Reason: reason(err, h)}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "strata")
	req.Header.Set(DeliveryHeader, delivery)
	req.Header.Set(SignatureHeader, h.Secret.Sign(body, c.now()))
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &Failure{Reason: reason(err, h)}
	}
	defer resp.Body.Close()
	if s := resp.StatusCode; s < 200 || s > 299 {
		return nil, &Failure{Status: s, Final: isFinal(s), Reason: fmt.Sprintf("answered %d %s", s, http.StatusText(s))}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswerBytes+1))
	if err != nil {
		return nil, &Failure{Reason: reason(err, h)}
	}
	if len(text) > MaxAnswerBytes {
		return &Answer{Body: text[:MaxAnswerBytes], Cut: true}, nil
	}
	return &Answer{Body: text}, nil
}

// isFinal reports whether a status says that the post itself is at fault, rather
// than the moment.
func isFinal(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status < 500
}

// reason says what went wrong without the URL, which may have what is not for a
// log.
func reason(err error, h *Hook) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", h.Timeout)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

// Text makes of what a service says a text for the record: without control
// characters other than line ends and tabs, and of at most so many bytes.
func Text(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

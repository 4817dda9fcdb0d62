package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/url"
)

// maxURLBytes bounds the length of a URL.
const maxURLBytes = 2048

// CheckURL reports whether a node may post to a URL. Answers decide something and
// are not signed, so they must come over TLS, unless from this machine or where
// the operator allows plain HTTP.
func CheckURL(raw string, allowHTTP bool) error {
	if raw == "" {
		return errors.New("is missing")
	}
	if len(raw) > maxURLBytes {
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(raw), maxURLBytes)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("want a URL such as https://rules.example/strata")
	case u.User != nil:
		return errors.New("has a user or password; posts are signed with the secret instead")
	case u.Fragment != "":
		return errors.New("has a fragment, which is never sent")
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return errors.New("is http to another machine, where others could answer in its place: use https, or set allow_http = true")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

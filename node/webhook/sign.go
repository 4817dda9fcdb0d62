package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Headers of a post.
const (
	// SignatureHeader has the time of the try and the signature: t=SECONDS,v1=HEX.
	SignatureHeader = "Strata-Signature"
	// DeliveryHeader has an id that stays the same however often the same thing
	// is posted.
	DeliveryHeader = "Strata-Delivery"
)

// Errors of Verify.
var (
	ErrSignature = errors.New("the signature is not the secret's, or not of this body")
	ErrStale     = errors.New("the signature is too old, or of the future")
)

// Sign returns the value of the SignatureHeader: the HMAC-SHA-256 of the time in
// Unix seconds, a dot and the body.
func (s Secret) Sign(body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(s.sum(t, body))
}

func (s Secret) sum(t string, body []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(t))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify checks the value of a SignatureHeader, as who receives a post does. It
// must not be older than tolerance, nor so much younger.
func (s Secret) Verify(header string, body []byte, now time.Time, tolerance time.Duration) error {
	t, digits, ok := strings.Cut(header, ",v1=")
	t, ok2 := strings.CutPrefix(t, "t=")
	if !ok || !ok2 {
		return fmt.Errorf("%s is %.80q, want t=SECONDS,v1=HEX", SignatureHeader, header)
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || !hmac.Equal(sum, s.sum(t, body)) {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > tolerance {
		return ErrStale
	}
	return nil
}

// DeliveryID returns the id of what such parts name. None may have a line end.
func DeliveryID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:16])
}

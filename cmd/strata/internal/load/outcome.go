package load

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/valyala/fasthttp"
)

// Codes of failures that no node reports. A node's own error code is used as
// it is (such as OVERLOADED), or http_ and the status where it gives none.
const (
	CodeTimeout           = "client_timeout"     // no answer in time
	CodeConnectionRefused = "connection_refused" // nobody listens
	CodeConnectionClosed  = "connection_closed"  // closed or reset before the answer was whole
	CodeUnknownHost       = "unknown_host"       // the name does not resolve
	CodeTLS               = "tls"                // the node's certificate or handshake is not acceptable
	CodeAnswerTooLarge    = "answer_too_large"   // more than 4 MiB
	CodeAnswerMalformed   = "answer_malformed"   // checked and no JSON object with a hash
	CodeHashMismatch      = "hash_mismatch"      // checked and of another event
	CodeTransport         = "transport"          // any other failure to exchange a request and an answer
	CodeUndecided         = "undecided"          // a proposal that is open still
	CodeNotAccepted       = "not_accepted"       // a proposal that has come to something else
	CodeWonTwice          = "won_twice"          // a proposal with a version that another one has
	CodeOther             = "other"              // further codes, once there are maxCodes of them
)

// maxCodes bounds how many codes of failures are told apart.
const maxCodes = 64

// transportCode classes an error of an exchange.
func transportCode(err error) string {
	var (
		timeout interface{ Timeout() bool }
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return CodeTimeout
	case errors.As(err, &dns):
		return CodeUnknownHost
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert):
		return CodeTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return CodeConnectionRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe),
		errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return CodeConnectionClosed
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return CodeAnswerTooLarge
	}
	return CodeTransport
}

// answerCode classes an answer; it is empty for status 200.
func answerCode(status int, body []byte) string {
	switch status {
	case http.StatusOK:
		return ""
	case http.StatusAccepted:
		return CodeUndecided
	}
	var answer struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && isErrorCode(answer.Error.Code) {
		return answer.Error.Code
	}
	return fmt.Sprintf("http_%d", status)
}

// isErrorCode reports whether s looks like a code of the API, so that nothing
// else that answers can fill a report with its text.
func isErrorCode(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

// verifyAnswer checks that an answer is about the event with this hash.
func verifyAnswer(body []byte, hash string) (code string) {
	var answer struct {
		Hash string `json:"hash"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil || answer.Hash == "":
		return CodeAnswerMalformed
	case answer.Hash != hash:
		return CodeHashMismatch
	}
	return ""
}

// codeBeaten is the API's for a proposal that another one on its subject has
// beaten.
const codeBeaten = "CONFLICT"

// isAccepted reports whether an answer says that a proposal is accepted.
func isAccepted(body []byte) bool { return bytes.Contains(body, []byte(`"status":"accepted"`)) }

// wonVersion is the version of its subject that an answer says a proposal has won,
// or 0.
func wonVersion(body []byte) uint64 {
	var answer struct {
		Version uint64 `json:"version"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return 0
	}
	return answer.Version
}

// verifyProposed checks that an answer is about this action: the proposal in it
// has it in the same form.
func verifyProposed(body, action []byte) (code string) {
	var answer struct {
		Body struct {
			Action json.RawMessage `json:"action"`
		} `json:"body"`
	}
	switch err := json.Unmarshal(body, &answer); {
	case err != nil || answer.Body.Action == nil:
		return CodeAnswerMalformed
	case !bytes.Equal(answer.Body.Action, action):
		return CodeHashMismatch
	}
	return ""
}

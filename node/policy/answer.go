package policy

import (
	"errors"
	"fmt"

	"github.com/strataos/strataos/node/webhook"
	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/jcs"
)

// answer is what a webhook says.
type answer struct {
	vote   Vote
	reason string
}

// readAnswer reads {"vote":"accept|reject|manual","reason":"…"}. The reason may
// be missing, and is cut if it is too long for the ledger. What else the object
// has does not count.
func readAnswer(raw *webhook.Answer) (answer, error) {
	if raw.Cut {
		return answer{}, fmt.Errorf("the answer has more than %d bytes", webhook.MaxAnswerBytes)
	}
	if jcs.KindOf(raw.Body) != jcs.Object {
		return answer{}, errors.New(`the answer is not an object such as {"vote":"accept"}`)
	}
	var a answer
	voted := false
	// A key that is there twice, which could be read either way, is an error.
	err := jcs.Members(raw.Body, func(key, value []byte) error {
		switch string(key) {
		case "vote":
			word, err := jcs.Unquote(value)
			if a.vote, voted = ParseVote(word); err != nil || !voted {
				return fmt.Errorf("the answer's vote is %.40s, want accept, reject or manual", value)
			}
		case "reason":
			reason, err := jcs.Unquote(value)
			if err != nil {
				return errors.New("the answer's reason is not a text")
			}
			a.reason = webhook.Text(reason, protocol.MaxReasonBytes)
		}
		return nil
	})
	if err == nil && !voted {
		err = errors.New("the answer has no vote")
	}
	if err != nil {
		return answer{}, err
	}
	return a, nil
}

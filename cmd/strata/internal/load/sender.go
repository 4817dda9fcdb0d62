package load

import "context"

// sender sends events to one target over one connection. It belongs to one
// goroutine.
type sender struct {
	*generator
	ctx        context.Context
	recorder   *recorder
	request    *request
	connection *connection
}

func (g *generator) newSender(ctx context.Context, target int) *sender {
	t := g.targets[target]
	return &sender{
		generator:  g,
		ctx:        ctx,
		recorder:   g.recorders[target],
		request:    newRequest(t, g.Config),
		connection: &connection{ctx: ctx, dial: g.dial, target: t, limit: g.Timeout + grace},
	}
}

func (s *sender) close() { s.connection.close() }

// send sends an event and records what becomes of it. It reports whether the
// target could be talked to.
func (s *sender) send(a arrival) (reached bool) {
	o := outcome{due: a.due, sent: s.now()}
	switch {
	case s.ctx.Err() != nil:
		s.recorder.unfinished(a.due)
		return false
	case o.sent-a.due > s.Timeout:
		s.recorder.dropped(a.due)
		return true
	}
	s.request.set(a.seq)
	status, body, err := s.connection.exchange(s.request.bytes)
	o.done = s.now()
	switch {
	case err == nil:
		o.code, o.verified = s.judge(a.seq, status, body)
		o.beaten = s.Subject != "" && o.code == codeBeaten
	case s.ctx.Err() != nil:
		s.recorder.unfinished(a.due)
		return false
	default:
		o.code = transportCode(err)
	}
	s.recorder.finished(o)
	return err == nil
}

// judge classes an answer to the event in the request.
func (s *sender) judge(seq uint64, status int, body []byte) (code string, verified bool) {
	if code := answerCode(status, body); code != "" {
		return code, false
	}
	if s.Propose && !isAccepted(body) {
		return CodeNotAccepted, false
	}
	if s.Subject != "" && !s.won.first(wonVersion(body)) {
		return CodeWonTwice, false
	}
	if s.KeepAnswers != nil {
		s.KeepAnswers(body)
	}
	if s.Verify > 0 && seq%uint64(s.Verify) == 0 {
		if s.Propose {
			return verifyProposed(body, s.request.event), true
		}
		return verifyAnswer(body, s.request.hash()), true
	}
	return "", false
}

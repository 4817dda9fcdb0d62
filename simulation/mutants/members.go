package main

// membership is the scenario in which members come and go.
const membership = "membership"

// reformed are bugs that show where members come and go.
var reformed = []mutant{
	{
		"no-handover", "votes in a new epoch before it is handed over what was voted for in the one before",
		"protocol/witness/epoch.go",
		[]edit{
			{"m.handover.complete == m.committee.Epoch() && !m.behind()", "!m.behind()"},
			{"return len(l.targets) == 0 && l.knows == m.committee.Epoch()", "return true"},
		},
	},
	{
		"votes-after-leaving", "votes on when it has left",
		"protocol/witness/epoch.go",
		[]edit{{
			"return m.committee.Has(m.self) && m.handover.complete", "return m.committee.Known(m.self) && m.handover.complete",
		}},
	},
	{
		"other-lens", "checks certificates by the newest committee, whatever epoch they name",
		"protocol/quorum/epochs.go",
		[]edit{{"c, ok := e.At(claim.Epoch)\n", "c, ok := e.Latest(), true\n\tclaim.Epoch = c.Epoch()\n"}},
	},
	{
		"unfenced", "votes on for batches of an epoch that it has left behind",
		"protocol/witness/epoch.go",
		[]edit{
			{"m.concerns(l, mk) && (mk.epoch == m.committee.Epoch() || mk.signed.Size <= m.heldUpTo(l))", "m.concerns(l, mk)"},
			{"m.voting() && (mk.epoch == m.committee.Epoch() || mk.signed.Size <= l.bound)", "m.voting()"},
		},
	},
	{
		"no-re-vote", "votes in a new epoch for nothing that it stored before",
		"protocol/witness/epoch.go",
		[]edit{{"func (m *Machine) voteAnew(l *logState) error {\n\ti, _ := l.find(l.cert.Size() + 1)", "func (m *Machine) voteAnew(l *logState) error {\n\ti := len(l.chain)"}},
	},
	{
		"own-boundary", "begins an epoch at its own slot and not where a round has ended",
		"protocol/chronos/ledger.go",
		[]edit{{"if !d.EndsRound {\n\t\treturn nil\n\t}\n\tnext, err", "if !d.EndsRound && (len(d.Batches) == 0 || d.Batches[0].Log != m.self) {\n\t\treturn nil\n\t}\n\tnext, err"}},
	},
	{
		"old-rounds", "keeps in a new epoch the rounds that batches had in the one before",
		"protocol/order/epoch.go",
		[]edit{{"n.Round = o.effective(n)\n", "n.Round = was.Round\n"}},
	},
	{
		"cut-tail", "votes for nothing of the log of a member that has left",
		"protocol/witness/epoch.go",
		[]edit{{"return l.evidence == nil && m.open(l) &&", "return m.committee.Has(l.id) && l.evidence == nil && m.open(l) &&"}},
	},
}

// scenario is the one that is to catch a bug; without, all are tried in turn in
// which members stay.
func (m mutant) scenario() string {
	for _, r := range reformed {
		if r.name == m.name {
			return membership
		}
	}
	return ""
}

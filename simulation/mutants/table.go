package main

import "slices"

// mutant is a deliberate bug. It is made by replacing pieces of the source
// while building, so nothing of it is in the product.
type mutant struct {
	name string
	// what says what it does in one sentence.
	what string
	// file is where, relative to the module; edits are made there.
	file  string
	edits []edit
}

// edit replaces a piece of source that occurs once.
type edit struct{ old, new string }

// table has them all.
var table = slices.Concat(steady, reformed)

// steady are bugs that show where members stay.
var steady = []mutant{
	{
		"vote-before-persist", "votes for a batch before it is durable",
		"protocol/witness/accept.go",
		[]edit{{
			"m.openTally(l, b)\n\tif err := m.agree(l); err != nil {",
			"m.openTally(l, b)\n\tif err := m.vote(l, b.Size()); err != nil {\n\t\treturn err\n\t}\n\tif err := m.agree(l); err != nil {",
		}},
	},
	{
		"publish-before-persist", "publishes a batch of its own before it is durable",
		"protocol/witness/author.go",
		[]edit{{"own := &ownBatch{\n", "m.emit(Publish{Msg: b})\n\town := &ownBatch{\n"}},
	},
	{
		"undurable-ranges", "sends batches to who asks for them before they are durable",
		"protocol/witness/storage.go",
		[]edit{{"b.Old != next || b.Size() > durable", "b.Old != next"}},
	},
	{
		"two-roots", "votes for every history that an author signs",
		"protocol/witness/accept.go",
		[]edit{{
			"\t\treturn m.compare(l, from, b)\n",
			"\t\tif l.id != m.self {\n\t\t\tm.votes = append(m.votes, m.cosign(l, markOf(b).signed))\n\t\t}\n\t\treturn nil\n",
		}},
	},
	{
		"forgets-at-restart", "forgets at a restart what it voted for but has no certificate of",
		"protocol/witness/log.go",
		[]edit{{"for l.size() < size {", "for l.size() < size && l.cert == nil {"}},
	},
	{
		"votes-anew-at-restart", "votes at a restart for another root than it stores",
		"protocol/witness/epoch.go",
		[]edit{{
			"if err := m.vote(l, mk.signed.Size); err != nil {",
			"mk.signed.Root[0] ^= 1\n\t\t\tm.votes = append(m.votes, m.cosign(l, mk.signed))\n\t\t\tif err := m.vote(l, 0); err != nil {",
		}},
	},
	{
		"quorum-minus-one", "takes one member less than a quorum for one",
		"protocol/quorum/quorum.go",
		[]edit{{"return 2*n/3 + 1", "return max(2*n/3, 1)"}},
	},
	{
		"counts-twice", "counts a member's vote as often as it comes",
		"protocol/quorum/certificate.go",
		[]edit{
			{"\treturn ok\n}", "\treturn ok && false\n}"},
			{"if !found {", "if !found || v.Member != 0 {"},
		},
	},
	{
		"unsigned-votes", "counts votes without verifying them",
		"protocol/quorum/certificate.go",
		[]edit{{
			"if !t.committee.Counts(v.Member, v.Time) || t.Has(v.Member) ||\n\t\t!t.committee.verifiers[v.Member].Verify(t.cp, v.Signature()) {",
			"if !t.committee.Counts(v.Member, v.Time) || t.Has(v.Member) {",
		}},
	},
	{
		"unsigned-batches", "takes batches without verifying their author",
		"protocol/witness/machine.go",
		[]edit{{
			"return m.signed(author, author, s)",
			"return m.committee.Known(author) && s.Time > 0",
		}},
	},
	{
		"unchecked-root", "takes a batch whose root is not that of its entries",
		"protocol/witness/accept.go",
		[]edit{{"if l.tail.Root() != b.Root {", "if l.tail.Root() != b.Root && len(entries) < 0 {"}},
	},
	{
		"time-goes-back", "takes a batch that is not later than the one before it",
		"protocol/witness/accept.go",
		[]edit{{"case b.Time <= head.time:", "case b.Time == 0:"}},
	},
	{
		"parents-later", "names parents that are later than the batch",
		"protocol/witness/author.go",
		[]edit{{"max(m.now, head.time+1, after+1)", "max(m.now, head.time+1, after-after)"}},
	},
	{
		"far-ahead", "takes batches however far ahead of its clock they lie",
		"protocol/witness/accept.go",
		[]edit{{"limit > m.now {\n\t\tl.holdUntil", "limit > m.now && b.Time < 0 {\n\t\tl.holdUntil"}},
	},
	{
		"uncertified-parents", "takes a parent that it stores for a certified one",
		"protocol/witness/accept.go",
		[]edit{{"if parent.cert.Size() < p.Size {\n\t\t\tl.missing", "if parent.size() < p.Size {\n\t\t\tl.missing"}},
	},
	{
		"no-repair", "never asks for what it lacks",
		"protocol/witness/repair.go",
		[]edit{{"l.fetch = fetch{peer: peer, size: size, cert: cert, dueAt: m.now + gapDelay}", "_ = gapDelay"}},
	},
	{
		"no-recovery", "authors without asking what the others have of its log",
		"protocol/witness/recover.go",
		[]edit{{
			"if answers < m.committee.Quorum() {\n\t\treturn nil\n\t}\n\tif l.size() == 0 && answers < m.committee.N() && m.now < r.graceAt {\n\t\treturn nil\n\t}\n",
			"_ = answers\n",
		}},
	},
	{
		"unsigned-certificates", "takes certificates without verifying their cosignatures",
		"protocol/quorum/certificate.go",
		[]edit{{"if !c.verifiers[s.Member].Verify(cp, s.Signature()) {", "if cp.Size == 0 {"}},
	},
	{
		"blames-the-bearer", "blames an author for what another member delivered",
		"protocol/witness/accept.go",
		[]edit{{"if from == b.Author {\n\t\tm.emit", "if from = b.Author; from == b.Author {\n\t\tm.emit"}},
	},
	{
		"no-flow-control", "takes batches without end while its disk stalls",
		"protocol/witness/log.go",
		[]edit{{"return l.uncertified() >= maxUncertified || l.undurable() >= maxUndurable", "return l.size() == Latest"}},
	},
	{
		"answers-early", "answers a submission when the batch before its own is certified",
		"protocol/witness/author.go",
		[]edit{{"if b.Size <= cert.Size() {", "if b.Old <= cert.Size() {"}},
	},
	{
		"commit-early", "takes a slot for committed with one member less than a quorum that sees it",
		"protocol/order/order.go",
		[]edit{{"commit: q,", "commit: q - 1,"}},
	},
	{
		"commit-at-once", "takes a slot for committed, and answers for it, as soon as one member sees it",
		"protocol/order/order.go",
		[]edit{{"commit: q,", "commit: 1,"}},
	},
	{
		"anchor-by-one", "commits a slot by its anchor if one member sees it",
		"protocol/order/order.go",
		[]edit{{"indirect: f + 1,", "indirect: 1 + 0*f,"}},
	},
	{
		"anchor-by-more", "commits a slot by its anchor only if a quorum sees it",
		"protocol/order/order.go",
		[]edit{{"indirect: f + 1,", "indirect: q + 0*f,"}},
	},
	{
		"short-wave", "has the slots of the next round for anchors",
		"protocol/order/order.go",
		[]edit{{"wave: 2}", "wave: 1}"}},
	},
	{
		"claimed-rounds", "believes the rounds that others claim",
		"protocol/order/insert.go",
		[]edit{{"min(n.Claim, o.supported(n))", "min(n.Claim, o.supported(n)+4)"}},
	},
	{
		"unsorted", "orders what a slot emits by members and not by time",
		"protocol/order/decide.go",
		[]edit{{"cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare", "cmp.Or(cmp.Compare"}},
	},
	{
		"forgets-unordered", "forgets batches before they are ordered",
		"protocol/order/order.go",
		[]edit{
			{"if emitted > 2*o.keep {", "if len(c.nodes) > 2 {"},
			{"drop := min(emitted-o.keep, len(c.nodes)-1)", "drop := len(c.nodes) - 1"},
			{"c.emitted -= drop", "c.emitted = max(c.emitted-drop, 0)"},
		},
	},
	{
		"cosigns-undurable", "cosigns the ledger before it is durable",
		"protocol/chronos/checkpoint.go",
		[]edit{{"m.takeEarly(cut)\n", "m.takeEarly(cut)\n\t\t\tif t := h.tallies[cut.Size]; t != nil {\n\t\t\t\tm.sign(cut, t)\n\t\t\t}\n"}},
	},
	{
		"state-behind", "stores the ledger with the state of the order from before",
		"protocol/chronos/ledger.go",
		[]edit{
			{"var g growth\n", "before := m.order.State()\n\tvar g growth\n"},
			{"Order: m.order.State(), Size:", "Order: before, Size:"},
		},
	},
	{
		"own-checkpoints", "makes checkpoints at its own slots and not at the ends of rounds",
		"protocol/chronos/ledger.go",
		[]edit{{"if !d.EndsRound {", "if d.Member != m.self {"}},
	},
	{
		"checkpoints-by-clock", "makes checkpoints when its own clock has come to the interval",
		"protocol/chronos/ledger.go",
		[]edit{{"m.time() >= m.nextCut()", "m.now >= m.nextCut()"}},
	},
	{
		"unsigned-checkpoints", "takes certificates of the ledger without verifying them",
		"protocol/chronos/checkpoint.go",
		[]edit{{
			"cert, err := m.epochs.Verify(msg.Cert)\n",
			"t := m.committeeOf(msg.Cert.Epoch).NewTally(protocol.Ledger, msg.Cert.Size, msg.Cert.Root)\n\t\tfor _, s := range msg.Cert.Cosigs {\n\t\t\tt.AddVerified(s)\n\t\t}\n\t\tcert, err := t.Certificate(), error(nil)\n\t\tif cert == nil {\n\t\t\treturn nil\n\t\t}\n",
		}},
	},
	{
		"unstored-tree", "lets go of the ledger's tree before it is durable",
		"protocol/chronos/ledger.go",
		[]edit{{
			"\treturn m.reached(seq, g.cuts)\n",
			"\tif t := m.ledger.tail; t.Leaves() > 256 && m.ledger.cut.Size > t.Base() {\n\t\tif err := t.Rebase(m.ledger.cut.Size); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\treturn m.reached(seq, g.cuts)\n",
		}},
	},
	{
		"no-gaps", "leaves out of the order what was certified while it was down",
		"protocol/chronos/feed.go",
		[]edit{{"ok && claim.Size <= stored {", "ok && claim.Size > stored {"}},
	},
	{
		"ignores-after", "authors what is to come after something before it has seen that",
		"protocol/witness/author.go",
		[]edit{
			{"if m.hasSeen(in.After) {", "if m.hasSeen(nil) {"},
			{"if round > head.round || m.mustName(subs) {", "if round > head.round {"},
		},
	},
	{
		"never-asks", "never asks for a batch that the order waits for",
		"protocol/chronos/pace.go",
		[]edit{{"a.Due, a.Seal = a.Ready, true", "a.Due = a.Ready"}},
	},
	{
		"dead-after-restart", "never seals again after a restart",
		"protocol/witness/author.go",
		[]edit{{"if !wanted || inflight", "if !wanted || m.logs[m.self].size() > 0 && a.pacer.lastSeal == 0 || inflight"}},
	},
	{
		"heads-not-durable", "tells of batches, its own among them, before they are durable",
		"protocol/witness/repair.go",
		[]edit{{"Signed: l.durableHead().signed", "Signed: l.head().signed"}},
	},
	{
		"parent-root-unchecked", "takes a parent whose root is not that of the certified batch",
		"protocol/witness/accept.go",
		[]edit{{"if !ok || mk.signed.Root != p.Root {", "if !ok {"}},
	},
	{
		// vote is not the only place: accept.go votes again for an author that
		// asks, and tells its votes to all when no certificate comes.
		"votes-for-frozen", "votes for a log though it holds evidence against its author",
		"protocol/witness/epoch.go",
		[]edit{{"return l.evidence == nil && m.open(l)", "return m.open(l)"}},
	},
	{
		"vote-twice", "counts a participant's vote on a proposal as often as it comes",
		"protocol/accord/book.go",
		[]edit{{"case slices.ContainsFunc(c.Votes, voted):", "case slices.ContainsFunc(c.Votes, voted) && c.Status != Open:"}},
	},
	{
		"threshold-less", "takes a proposal for accepted with one vote less than it needs",
		"protocol/accord/book.go",
		[]edit{{"case accepts >= c.Proposal.Threshold:", "case accepts >= c.Proposal.Threshold-1:"}},
	},
	{
		"threshold-more", "takes a proposal for accepted with one vote more than it needs",
		"protocol/accord/book.go",
		[]edit{{"case accepts >= c.Proposal.Threshold:", "case accepts > c.Proposal.Threshold:"}},
	},
	{
		"rejects-early", "rejects a proposal that the threshold is just in reach of",
		"protocol/accord/book.go",
		[]edit{{"case rejects > len(c.Proposal.Participants)-c.Proposal.Threshold:", "case rejects > 0 && rejects >= len(c.Proposal.Participants)-c.Proposal.Threshold:"}},
	},
	{
		"outsiders-vote", "counts votes from the logs of others than the participants",
		"protocol/accord/book.go",
		[]edit{{"case !slices.Contains(c.Proposal.Participants, voter):", "case !slices.Contains(c.Proposal.Participants, voter) && c.Status != Open:"}},
	},
	{
		"late-vote", "counts votes on what is decided",
		"protocol/accord/book.go",
		[]edit{{"case c.Status != Open:\n\t\treturn Late", "case c.Status > Withdrawn:\n\t\treturn Late"}},
	},
	{
		"deadline-by-clock", "has proposals expire by its own clock",
		"protocol/chronos/ledger.go",
		[]edit{{"extensions, err := m.book.Extend(e, m.committee", "e.Time = max(e.Time, m.now)\n\t\t\textensions, err := m.book.Extend(e, m.committee"}},
	},
	{
		"expires-at-deadline", "has a proposal expire when the ledger's time is its deadline",
		"protocol/accord/book.go",
		[]edit{
			{"if b.due == 0 || b.due >= b.now {", "if b.due == 0 || b.due >= b.now+protocol.Millisecond {"},
			{"if c.Proposal.Deadline < b.now {", "if c.Proposal.Deadline < b.now+protocol.Millisecond {"},
		},
	},
	{
		"never-expires", "orders nothing for the sake of a deadline",
		"protocol/chronos/pace.go",
		[]edit{{"due != 0 && (!wanted || due < until) {", "due != 0 && wanted && due < until {"}},
	},
	{
		"two-on-a-subject", "opens a proposal on a subject that another one is open on",
		"protocol/accord/book.go",
		[]edit{{"if rival, taken := b.subjects[p.Subject]; taken {", "if rival, taken := b.subjects[p.Subject]; taken && rival == p.ID {"}},
	},
	{
		"any-version", "does not look at the version that a proposal expects",
		"protocol/accord/book.go",
		[]edit{{"case p.Conditional && p.ExpectedVersion != subject.Version:", "case p.Conditional && p.ExpectedVersion > subject.Version+1<<60:"}},
	},
	{
		"anyone-withdraws", "lets anybody take a proposal back",
		"protocol/accord/book.go",
		[]edit{{"if c == nil || c.Proposal.Proposer != e.author {", "if c == nil {"}},
	},
	{
		"impostors-propose", "opens proposals that somebody makes in another's name",
		"protocol/accord/book.go",
		[]edit{{"if p.Proposer != e.author {\n\t\treturn nil, nil\n\t}", "if p.Proposer == \"\" {\n\t\treturn nil, nil\n\t}"}},
	},
	{
		"behind-a-copy", "votes behind a copy of a proposal in another log",
		"protocol/accord/machine.go",
		[]edit{{"p.Proposer == m.NameOf(e.Log) && !m.ordered(place)", "!m.ordered(place)"}},
	},
	{
		"forgets-decisions", "forgets what it has decided before it is stored",
		"protocol/accord/book.go",
		[]edit{{"if c := b.recent.cases[id]; c != nil {", "if c := b.recent.cases[id]; c != nil && c.Status == Open {"}},
	},
	{
		"forgets-versions", "forgets the versions of subjects before they are stored",
		"protocol/accord/book.go",
		[]edit{{"if s, ok := b.recent.subjects[name]; ok {", "if s, ok := b.recent.subjects[name]; ok && s.Version == 0 {"}},
	},
}

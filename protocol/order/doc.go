// Package order puts the certified batches of all logs into one order, without
// a leader and without a message: the order is a function of the batches and
// of whom they name as parents, so every member comes to it by itself.
//
// There are n members, of which f may lie, and a quorum is q = n−f of them; see
// package quorum. Who they are may change from epoch to epoch; until that is
// explained, there is one. Certified logs don't fork, so a log is a chain of
// batches.
// The past of a batch is the batch itself, the past of its predecessor in the
// log and the pasts of its parents. Since logs are chains, a past is a Clock:
// how much of every log is in it.
//
// # Rounds (rule C1)
//
// Every batch claims a round. What counts is its effective round, to which a
// claim is cut, so that claims need not be validated and lying gains nothing:
//
//	round(b) = max(round(predecessor of b), min(claim(b), s(b)))
//
// where the first batch of a log has a predecessor of round 0, and s(b) is what
// the past supports: one more than the largest ρ for which at least q members
// have a batch of round ρ or more in the past of b without b itself, or 0 if
// fewer than q members have any batch there. The author counts through its
// predecessor. A batch may claim less than it could. It may also skip rounds,
// when it has seen others that are far ahead.
//
// V(r,i) is member i's first batch of round r or more. A batch sees another
// that is in its past; it sees itself.
//
// # Decisions (rule C2)
//
// Every member has a slot (r,i) in every round. Slots are ordered by r, then by
// (i+r) mod n, so that everybody is first in turn. A slot is
//
//   - committed if V(r+1,j) sees V(r,i) for at least q members j;
//   - skipped if V(r+1,j) is known and does not see V(r,i) for at least q
//     members j, also if V(r,i) is not known;
//   - else decided by its anchor, the first slot of round r+2 or later that is
//     not skipped. As long as that is undecided, so is (r,i). If it is
//     committed, with the batch X, then (r,i) is committed if at least f+1 of
//     the V(r+1,j) in the past of X see V(r,i), and skipped if fewer do.
//
// Slots are consumed in their order, up to the first that is undecided. A
// committed slot emits what is in the past of V(r,i) and was not emitted
// before, sorted by time, member and size. A batch is later than what is in its
// past, so the order extends causality.
//
// # Why everybody decides the same
//
// Logs don't fork and pasts are closed, so rounds, V(r,i), and whether V(r+1,j)
// sees V(r,i), are the same to everybody who knows those batches. What differs
// is how much one knows. More knowledge only adds to the two counts of the
// direct rules, so who has decided never changes its mind. Two members could
// differ in three ways:
//
//   - One commits directly, one skips directly. That would take 2q > n members.
//   - One decides directly, one by an anchor. X is of round r+2 or more, so it
//     or a predecessor of it was raised there by batches of round r+1 or more
//     of at least q members in its past. Hence the past of X has V(r+1,j) for
//     at least q members j. If q see V(r,i), at least 2q−n ≥ f+1 of those do,
//     and the anchor commits. If q don't, at most n−q = f of all do, and the
//     anchor skips. (A V(r+1,j) may be X itself; it counts like the others.)
//   - Both decide by anchors. By induction from the last slot that either of
//     them has decided, they agree on the slots from round r+2 on, so they have
//     the same first one that is not skipped, and count in the same past.
//
// # Why it goes on
//
// When the network is timely, the V(r+1,j) of the at least q honest members see
// the V(r,i) of all honest members, which are committed as soon as those are
// known. A member that is down is skipped as early. A liar can leave its own
// slot undecided, which then waits for its anchor. That may be the slot of a
// liar again, which waits for a slot two rounds later, and so on; but the firsts
// of every other round take turns among at least n/2 > f members, so at most f
// such slots follow one another. Without any bound on delays a rule without
// chance can stall, but never decides wrongly.
//
// # Epochs
//
// When the last slot of a round B−1 is decided, other members may take over. The
// clock of what is emitted by then is the base of the new epoch. It goes on as
// an order of its own, of its members and of what is behind the base:
//
//   - Only a batch behind the base has a round, which is B or more. The first one
//     of a log has a predecessor of round B. s(b) counts batches behind the base,
//     of members of the epoch, and is B where there are too few. So a claim below
//     B counts as B, and one of before is cut to what the new epoch supports.
//   - Only members of the epoch have slots and V(r,i), from round B on. In (i+r)
//     mod n they are numbered without gaps.
//   - Logs of others, who have left, are emitted like all, when they are in the
//     past of a committed slot. Nothing else that they say counts.
//
// Clocks are not touched by epochs, so how two batches are related stays as it
// is. The rounds of what an earlier epoch has emitted are never looked at.
//
// Everybody goes on to the same order, though each has inserted more or less
// when it comes to the end of the epoch:
//
//   - All have decided the same slots up to there. So they have the same B and the
//     same base, and who the members are follows from what is emitted.
//   - In the new epoch, the round of a batch follows from its past, the base, B
//     and the members, and from nothing else. NextEpoch derives so what is inserted
//     and not emitted, Insert what comes later; and a State names all of these. So
//     it makes no difference when a batch was inserted. What the old epoch would
//     have said of rounds from B on is forgotten, and nobody has consumed it.
//   - The argument above holds in the new epoch with its own n, q and f. Cut at the
//     base, pasts are as closed as before, and an X of round r+2 or more was raised
//     there by batches of round r+1 > B, of a quorum of the new members.
//
// Nothing is lost: what is not emitted stays inserted, and is behind the base. A
// batch of a member that stays is in the past of all its later ones, so it comes
// with the member's next committed slot at the latest, and one of a member that has
// left comes with the first that has named it. A member whose batches are all
// emitted has not come to round B, and takes part with its next one.
//
// # Cost
//
// An insertion compares two clocks for each parent, and costs n comparisons for
// each round that the batch is the first of in its log; a slot is decided in n steps
// at most. An epoch begins with a sorted walk through what is not emitted, and
// looks nothing up.
// Memory holds what is not emitted, the V(r,i) of rounds under decision, the
// newest batches of each log, and what the host has not let go of with Forget.
// What is older is looked up through Past.
package order

// Package accord is how members decide together: a pure function of the ledger,
// and the machine that votes for a member.
//
// A member proposes, and the participants of the proposal vote, by entries of
// their own logs. What these come to follows from the order alone: the Book reads
// them as they are ordered, and every member's Book comes to the same decision at
// the same place. The decision becomes an entry of the ledger itself, so that one
// inclusion proof, under a checkpoint that a quorum has cosigned, shows it to
// somebody who was not there.
//
// The rules, which docs/protocol.md has as A1 to A7:
//
//   - A proposal is open from where it is ordered. It must be in its proposer's
//     own log, or it is void; one that is there again is void too.
//   - Of the proposals on a subject only one is open: the next one fails with a
//     conflict, as does one that expects another version of its subject than the
//     present one. So nobody waits for a lock that never comes.
//   - A vote counts once a participant, from that participant's own log, while the
//     proposal is open. Others are kept, and marked.
//   - Threshold accepting participants accept it; so many rejecting ones that the
//     threshold is out of reach reject it. Its proposer may withdraw it.
//   - It expires once the ledger's time is past its deadline. The ledger's time is
//     the same everywhere; nobody's clock decides.
//   - An accepted proposal is the next version of its subject.
//   - One that changes the network begins an epoch at the end of the round.
package accord

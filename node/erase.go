package node

import (
	"context"
	"errors"
	"time"

	"github.com/strataos/strataos/node/store/pebbleds"
	"github.com/strataos/strataos/protocol"
)

const (
	// eraseEvery is how often the node looks for bodies that have expired.
	eraseEvery = time.Second
	// compactEvery is how often, at most, it gives back the space of what was
	// erased: that rewrites the parts of the logs around it.
	compactEvery = 30 * time.Second
)

// eraseExpired erases bodies that have expired. The API shows them no more from
// the moment they do.
func (n *Node) eraseExpired(ctx context.Context) {
	tick := time.NewTicker(eraseEvery)
	defer tick.Stop()
	compacted := time.Now()
	dirty := true // what an earlier life has erased
	for {
		var now time.Time
		select {
		case now = <-tick.C:
		case <-ctx.Done():
			return
		}
		erased, err := n.store.Erase(ctx, protocol.Micros(now.UnixMicro()))
		if erased > 0 {
			n.logger.Debug("erased what has expired", "bodies", erased)
			dirty = true
		}
		if err == nil && dirty && now.Sub(compacted) >= compactEvery {
			err = n.store.Compact()
			compacted, dirty = now, false
		}
		if errors.Is(err, pebbleds.ErrClosed) {
			return
		}
		if err != nil {
			// What was promised to be erased is not, or the disk cannot be trusted.
			n.fail(err)
			return
		}
	}
}

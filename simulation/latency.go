package simulation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strataos/strataos/protocol"
)

// regions are places with data centres.
var regions = []string{"us-east", "us-west", "sa-east", "eu-west", "eu-central", "me-south", "ap-south", "ap-southeast", "ap-northeast", "au-southeast"}

// roundTrips are typical median round trips between regions in milliseconds,
// as operators of public clouds report them (for example
// https://www.cloudping.co); the diagonal is within a region.
var roundTrips = [][]float64{
	//        use  usw  sae  euw  euc  mes  aps  apse apne aus
	{0.8, 62, 113, 68, 91, 158, 187, 214, 146, 198},
	{62, 0.8, 174, 128, 148, 222, 220, 164, 98, 140},
	{113, 174, 0.8, 177, 203, 262, 300, 322, 256, 310},
	{68, 128, 177, 0.8, 25, 92, 122, 174, 202, 254},
	{91, 148, 203, 25, 0.8, 86, 112, 160, 224, 250},
	{158, 222, 262, 92, 86, 0.8, 38, 92, 150, 182},
	{187, 220, 300, 122, 112, 38, 0.8, 58, 122, 146},
	{214, 164, 322, 174, 160, 92, 58, 0.8, 70, 92},
	{146, 98, 256, 202, 224, 150, 122, 70, 0.8, 104},
	{198, 140, 310, 254, 250, 182, 146, 92, 104, 0.8},
}

// profiles are named sets of places, over which members are spread in turn.
var profiles = map[string][]string{
	"lan":           nil,
	"continent":     {"eu-west", "eu-central"},
	"3-regions":     {"us-east", "eu-west", "eu-central"},
	"5-continents":  {"us-east", "sa-east", "eu-west", "ap-southeast", "au-southeast"},
	"world":         regions,
	"us-and-europe": {"us-east", "us-west", "eu-west", "eu-central"},
}

// lanDelay is the one-way time within a data centre in microseconds.
const lanDelay = 150

// places gives every member its region; an empty one means a common LAN.
func places(profile string, n int) ([]string, error) {
	names, ok := profiles[profile]
	if !ok {
		names = strings.Split(profile, ",")
		for i, name := range names {
			names[i] = strings.TrimSpace(name)
			if !slices.Contains(regions, names[i]) {
				return nil, fmt.Errorf("network.profile: %q is neither a profile (%s) nor a list of regions (%s)",
					profile, strings.Join(sortedKeys(profiles), ", "), strings.Join(regions, ", "))
			}
		}
	}
	out := make([]string, n)
	for i := range out {
		if len(names) > 0 {
			out[i] = names[i%len(names)]
		}
	}
	return out, nil
}

// delay is the median one-way time between two regions.
func delay(a, b string) protocol.Micros {
	if a == "" || b == "" {
		return lanDelay
	}
	rtt := roundTrips[slices.Index(regions, a)][slices.Index(regions, b)]
	return protocol.Micros(rtt * 1000 / 2)
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

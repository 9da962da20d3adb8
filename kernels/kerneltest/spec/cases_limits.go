package spec

// limits are windows, caps and scales of scores. Windows are smaller and larger than nodes and branches, and cut shared prefixes at
// other places for each of the branches below.
func (l *list) limits() {
	fixed := func(name string, f *Forest) forest { return forest{name, func(*Gen) *Forest { return f }, true} }
	small := fixed("pair_3_2_1_k2", pairs(3, 2, 1, 2, 1))
	for _, by := range []scoring{{window: 1}, {window: 2}, {window: 4}, {window: 100}, {top: 0.7}, {scale: 0.3}, {window: 3, scale: 1.5, top: 2}} {
		l.attendBy(small, by, 1, 1, 2, 1)
		l.attendBy(small, by, 4, 2, 4, 1)
	}
	l.race(4)
	tree := fixed("pairs_70_40_30_k2", pairs(70, 40, 30, 2, 2))
	for _, s := range [][3]int{{2, 1, 16}, {2, 1, 64}, {1, 1, 128}} {
		race := l.raceCores
		if s[2] == 16 {
			race = l.race
		}
		for _, window := range []int{1, 16, 64, 90, 139} {
			l.attendBy(tree, scoring{window: window}, s[0], s[1], s[2], 1)
		}
		race(4)
		// key tiles that a window leaves, in the middle of a branch and behind it
		for _, window := range []int{63, 64, 65, 130} {
			l.attendBy(fixed("causal400", sequences(400)), scoring{window: window}, s[0], s[1], s[2], 1)
		}
		gaps := new(Forest)
		gaps.Open(150)
		for _, n := range []int{130, 64, 1, 100} {
			gaps.Leaf(n)
		}
		gaps.Close()
		l.attendBy(fixed("gaps", gaps), scoring{window: 70}, s[0], s[1], s[2], 1)
		l.attendBy(fixed("gaps", gaps), scoring{top: 1}, s[0], s[1], s[2], 2)
		l.attendBy(fixed("gaps", gaps), scoring{window: 100, scale: 0.25, top: 50}, s[0], s[1], s[2], 1)
		race(2)
		// scores far above the cap, and far below it
		l.attendBy(fixed("causal70", sequences(70)), scoring{top: 5}, s[0], s[1], s[2], 12)
		l.attendBy(fixed("causal70", sequences(70)), scoring{top: 1000}, s[0], s[1], s[2], 1)
	}
	for _, s := range [][3]int{{2, 1, 80}, {1, 1, 96}, {1, 1, 256}} {
		l.attendBy(tree, scoring{window: 90}, s[0], s[1], s[2], 1)
		l.attendBy(fixed("causal200", sequences(200)), scoring{window: 65, top: 3}, s[0], s[1], s[2], 1)
		if s[2] == 80 {
			l.race(2)
		} else {
			l.raceCores(2)
		}
	}
	for _, window := range []int{5, 20} {
		l.attendBy(forest{"random300", func(g *Gen) *Forest { return random(g.Rand, 300) }, true}, scoring{window: window}, 2, 1, 8, 1)
		l.attendBy(fixed("depth6_long", chain(6, 33)), scoring{window: window * 5}, 2, 1, 64, 1)
	}
	long := new(Forest)
	long.PairTree(300, 200, 100, 3)
	long.Leaf(500)
	for _, d := range []int{16, 64} {
		l.attendBy(fixed("tree_and_sequence", long), scoring{window: 150}, 2, 1, d, 1)
	}
}

// decodeLimits are windows that begin in shared segments and in own slots, also within one tile of sequences, and caps.
func (l *list) decodeLimits() {
	contexts := []struct {
		name   string
		shared [][]int
		own    [][]int
	}{
		{"eight_samples", [][]int{{33}}, [][]int{{1, 2, 3, 4, 5, 6, 7, 31}}},
		{"levels_with_empty_segments", [][]int{{17, 0, 9, 1}, {0}, {129}}, [][]int{{2, 0, 33}, {1, 1}, {7}}},
		{"long", [][]int{{700, 300}, {64}}, [][]int{{1, 129, 64, 65}, {500, 3}}},
		{"two_groups", [][]int{{70, 5}, {130}}, [][]int{{3, 66}, {1}}},
	}
	for _, c := range contexts {
		for _, s := range [][3]int{{4, 2, 32}, {3, 1, 6}, {4, 4, 64}, {2, 1, 80}, {8, 2, 128}, {4, 1, 256}} {
			a, k, d := s[0], s[1], s[2]
			for _, by := range []scoring{{window: 1}, {window: 6}, {window: 64}, {window: 131}, {scale: 0.3, top: 1.5}, {window: 100, top: 50}} {
				l.add("attention_decode", c.name+by.String()+dims(a, k, d), func(g *Gen) Op { return Decode(g, c.shared, c.own, by, a, k, d) })
			}
			l.race(1)
		}
	}
}

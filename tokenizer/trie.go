package tokenizer

// trie finds the longest of a set of strings at a place in a text.
type trie struct {
	first [256]bool        // bytes that start a string
	next  map[uint32]int32 // node<<8 | byte → node; node 0 is the root. At most maxAddedText nodes fit
	end   []int32          // node → index of the string that ends there, or -1
}

func newTrie() *trie { return &trie{next: map[uint32]int32{}, end: []int32{-1}} }

// empty says whether nothing was added.
func (t *trie) empty() bool { return len(t.next) == 0 }

// add puts s, which is not empty, in under index n.
func (t *trie) add(s string, n int) {
	t.first[s[0]] = true
	node := int32(0)
	for i := range len(s) {
		key := uint32(node)<<8 | uint32(s[i])
		to, ok := t.next[key]
		if !ok {
			to = int32(len(t.end))
			t.end = append(t.end, -1)
			t.next[key] = to
		}
		node = to
	}
	t.end[node] = int32(n)
}

// longest gives index and length of the longest string at the start of s, or -1.
func (t *trie) longest(s string) (n, size int) {
	n = -1
	if s == "" || !t.first[s[0]] {
		return
	}
	node := int32(0)
	for i := range len(s) {
		to, ok := t.next[uint32(node)<<8|uint32(s[i])]
		if !ok {
			break
		}
		if node = to; t.end[node] >= 0 {
			n, size = int(t.end[node]), i+1
		}
	}
	return
}

// each calls f with index and length of each string at the start of s, the shortest first.
func (t *trie) each(s string, f func(n, size int)) {
	node := int32(0)
	for i := range len(s) {
		to, ok := t.next[uint32(node)<<8|uint32(s[i])]
		if !ok {
			return
		}
		if node = to; t.end[node] >= 0 {
			f(int(t.end[node]), i+1)
		}
	}
}

// find gives index, start and end of the leftmost string in s, the longest where several start; or -1.
func (t *trie) find(s string) (n, start, end int) {
	for i := range len(s) {
		if t.first[s[i]] {
			if n, size := t.longest(s[i:]); n >= 0 {
				return n, i, i + size
			}
		}
	}
	return -1, 0, 0
}

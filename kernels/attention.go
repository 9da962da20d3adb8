package kernels

import (
	"math"

	"criticrm/kernels/tile"
)

// Sight is what the queries of a packed forest see: query q sees key k iff k <= q < End[k], as far as the window of Scores goes.
type Sight struct {
	End   Tensor // (N) int32: just past the subtree of the token's node
	Pos   Tensor // (N) int32: how many tokens are above on the token's branch
	Tiles Tensor // (T) int32: what tile.Lists makes of End and Pos for the window
}

func (s Sight) ofTokens(n int) bool { return s.End.is(I32, n) && s.Pos.is(I32, n) }

// areTiles says whether the tiles may be what tile.Lists made for n tokens.
func (s Sight) areTiles(n int) bool {
	return s.Tiles.rank == 1 && s.Tiles.is(I32, s.Tiles.dim[0]) && s.Tiles.dim[0] >= tile.Head(n)
}

// Scores are s = Scale·q·k or, with a cap, Cap·tanh(Scale·q·k/Cap) (the soft cap of Gemma 2). With a window a query sees its own key and
// the Window-1 before it on its branch.
type Scores struct {
	Window int     // 0: none
	Scale  float32 // usually 1/sqrt(D)
	Cap    float32 // 0: none
}

func (s Scores) fine() bool {
	return s.Window >= 0 && s.Window < 1<<31 && s.Scale > 0 && s.Scale <= math.MaxFloat32 && s.Cap >= 0 && s.Cap <= math.MaxFloat32
}

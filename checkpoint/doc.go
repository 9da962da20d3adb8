// Package checkpoint reads and writes the files a run is made of: safetensors models, and training checkpoints that
// survive a crash of the program or of the machine.
//
// # Models
//
// OpenSafetensors opens one file, OpenModelDir a directory with model.safetensors or with shards and their index. All of
// the header is checked before a byte of content is read: sizes cannot overflow, tensors tile the file, names are keys
// and never paths, and a file that is something else (pickle, GGUF, Git LFS pointer, web page) is named as such.
// ReadF32 refuses NaN and infinities. WriteSafetensors and WriteModelDir replace files in one step; the bytes depend on
// nothing but the content.
//
// # Training checkpoints
//
//	run/checkpoints/step-00001234/   final name: complete and never changed
//	    tensors-00000.zst …          one zstd frame each; any zstd program decompresses them
//	    manifest.json                sizes, SHA-256 of stored and raw bytes, tensors; the last line hashes all above it
//	run/checkpoints/LATEST           a hint for people; loading never needs it
//	run/checkpoints/LOCK             held by the one process that writes here
//
// A trainer opens the directory once, before its first step, and saves through the Store:
//
//	store, err := checkpoint.Open("run/checkpoints")
//	path, err := store.Save(&checkpoint.State{Step: n, Tensors: …, Meta: …}, 3)
//
// A save is acknowledged only after all files, their directory and its name have been made durable and the whole has
// been read back and verified; then older checkpoints are removed, but two always remain. To resume:
//
//	path, step, err := checkpoint.Latest("run/checkpoints")
//	state, err := checkpoint.Load(path)
//
// LoadEach reads a state that is too large to be held twice, piece by piece; State.Read is its counterpart in a save.
// Both verify the hash of every file, as Verify does of the decompressed bytes, too, and refuse by file name. They never
// fall back to an older checkpoint by themselves: losing steps silently would be a surprise; List shows what else there is.
//
// The tensors' bytes are sorted into planes (planes.go) and coded in blocks of Huffman literals (frame.go), since
// ordinary zstd stores bf16 weights at 100 % of their size. Files are encoded in parallel; equal states give equal bytes,
// whatever the number of cores.
//
// All file operations of the package go through the interface of package vfs, whose tests crash and break each of them.
package checkpoint

package serve

import (
	"criticrm/critic"
	"criticrm/strictjson"
)

// chatMessage is a message of an answer, or a part of one.
type chatMessage struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type chatChoice struct {
	Index   int          `json:"index"`
	Message *chatMessage `json:"message,omitempty"`
	Delta   *chatMessage `json:"delta,omitempty"`
	Logs    *struct{}    `json:"logprobs"`
	Finish  *string      `json:"finish_reason"`
	IDs     []int32      `json:"token_ids,omitempty"`
}

type chatAnswer struct {
	head
	Choices []chatChoice `json:"choices"`
	Usage   *usageJSON   `json:"usage,omitempty"`
}

// chat is POST /v1/chat/completions.
func (s *Server) chat(c *call) error {
	var q writeRequest
	b := q.body()
	b["messages"] = into(&q.messages, messages(false))
	b["add_generation_prompt"] = into(&q.generate, (*strictjson.Reader).Bool)
	b["continue_final_message"] = into(&q.goOn, (*strictjson.Reader).Bool)
	refuseAll(b, unchatted)
	if err := b.read(c.body, false); err != nil {
		return err
	}
	if err := s.known(q.model); err != nil {
		return err
	}
	if q.messages == nil || len(*q.messages) == 0 {
		return malformed("messages", "there are none")
	}
	w, err := q.reading(s)
	if err != nil {
		return err
	}
	list, generate := *q.messages, q.generate == nil || *q.generate
	if q.goOn != nil && *q.goOn {
		last := len(list) - 1
		switch {
		case q.generate != nil && *q.generate:
			return malformed("continue_final_message", "it and add_generation_prompt exclude each other")
		case last < 1 || list[last].Role != "assistant":
			return unfit("continue_final_message", "the last of several messages must be the assistant's")
		}
		list[last].Role, generate = critic.Begun, true
	}
	ids, err := s.render.Encode(list, generate)
	if err != nil {
		return unfit("messages", "%v", err)
	}
	if w, err = q.fit(s, w, ids, "messages"); err != nil {
		return err
	}
	if q.stream != nil && *q.stream {
		return s.streamChat(c, &q, w)
	}
	all, err := s.write(c, []Work{w}, q.stops(), nil)
	if err != nil {
		return err
	}
	out := chatAnswer{head: s.head(c, "chatcmpl-", "chat.completion")}
	for i, x := range all {
		out.Choices = append(out.Choices, chatChoice{Index: i, Message: &chatMessage{Role: "assistant", Content: &x.text}, Finish: &x.finish, IDs: x.tokens(&q)})
	}
	u := c.used.json()
	out.Usage = &u
	return c.json(out)
}

func (q *writeRequest) stops() []string {
	if q.stop == nil {
		return nil
	}
	return *q.stop
}

// streamChat sends the choices while they are written.
func (s *Server) streamChat(c *call, q *writeRequest, w Work) error {
	out, h := c.open(), s.head(c, "chatcmpl-", "chat.completion.chunk")
	chunk := func(x chatChoice) error { return out.send(chatAnswer{head: h, Choices: []chatChoice{x}}) }
	begun := make([]bool, w.N)
	begin := func(i int) error {
		if begun[i] {
			return nil
		}
		begun[i] = true
		return chunk(chatChoice{Index: i, Delta: &chatMessage{Role: "assistant", Content: new(string)}})
	}
	_, err := s.write(c, []Work{w}, q.stops(), func(i int, x *choice, last bool) error {
		if err := begin(i); err != nil {
			return err
		}
		if part := x.next(last); part != "" {
			if err := chunk(chatChoice{Index: i, Delta: &chatMessage{Content: &part}}); err != nil {
				return err
			}
		}
		if last {
			return chunk(chatChoice{Index: i, Delta: &chatMessage{}, Finish: &x.finish, IDs: x.tokens(q)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if q.usage != nil && *q.usage {
		u := c.used.json()
		if err := out.send(chatAnswer{head: h, Choices: []chatChoice{}, Usage: &u}); err != nil {
			return err
		}
	}
	return out.end()
}

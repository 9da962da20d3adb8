package serve

// Errors as clients see them: a status, a code, a sentence, the field; one JSON form, but for the routes whose clients know another.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"criticrm/record"
)

// Error is what a client is told of a request that is not served.
type Error struct {
	Status  int    // of HTTP
	Code    string // a word for programs
	Message string // a sentence for people, without the field
	Param   string // the field, as messages[0].role; "": none
	Retry   int    // seconds; 0: not worth it
	Allow   string // the methods that a path has
}

// unknownField is the code of a member that a strict route does not know; its message names it.
const unknownField = "unknown_field"

// Error is the sentence with the field in front.
func (e *Error) Error() string {
	if e.Param == "" || e.Code == unknownField {
		return e.Message
	}
	return e.Param + ": " + e.Message
}

// malformed is a body that is not what the route reads.
func malformed(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_request", Param: param, Message: fmt.Sprintf(format, args...)}
}

// unfit is a value that is well formed and cannot be served: out of a range, too long, empty.
func unfit(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusUnprocessableEntity, Code: "invalid_value", Param: param, Message: fmt.Sprintf(format, args...)}
}

// unserved is something that other servers do and this one does not: to leave it out would be another answer.
func unserved(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "not_served", Param: param, Message: fmt.Sprintf(format, args...)}
}

// Causes that end requests from within.
var (
	errDraining = errors.New("serve: the server is stopping")
	errStopped  = errors.New("serve: all samples have met a stop string")
)

// statusGone is what the log and the metrics have for a client that went away (nginx's number); nobody is sent it.
const statusGone = 499

// told is what a client is told of an error; ctx is the request's.
func told(ctx context.Context, err error) *Error {
	var e *Error
	var row *record.RowError
	switch cause := context.Cause(ctx); {
	case errors.As(err, &e):
		return e
	case errors.Is(cause, errDraining):
		return draining()
	case errors.Is(cause, context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusGatewayTimeout, Code: "deadline", Message: "the request's time is over; its work was dropped"}
	case errors.Is(cause, context.Canceled):
		return gone()
	case errors.Is(err, ErrBusy):
		return &Error{Status: http.StatusServiceUnavailable, Code: "busy", Message: "the queue is full: try again", Retry: 1}
	case errors.Is(err, ErrNoText):
		return unserved("model", "it is a classifier, which gives rewards and writes no text: ask for rewards, as on /v1/reward")
	case errors.As(err, &row):
		return unfit("", "%s", row.Msg)
	}
	return &Error{Status: http.StatusInternalServerError, Code: "internal", Message: "the server has failed; its log has the request's id"}
}

func gone() *Error {
	return &Error{Status: statusGone, Code: "client_gone", Message: "the client went away"}
}

func draining() *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "draining", Message: "the server is stopping: ask another one", Retry: 5}
}

// shape is the form of a family's errors.
type shape int

const (
	ours   shape = iota // {"error":{"code","message","param","request_id"}}, and 422 for values out of range
	openAI              // {"error":{"message","type","param","code"}}, and 400 for those
)

// status is the status of an error in a form. Clients of other servers know no 422: they give up on 400.
func (f shape) status(e *Error) int {
	if f != ours && e.Status == http.StatusUnprocessableEntity {
		return http.StatusBadRequest
	}
	return e.Status
}

// body is the error in a form.
func (f shape) body(e *Error, id string) any {
	var param *string
	if e.Param != "" {
		param = &e.Param
	}
	if f == ours {
		type inner struct {
			Code      string  `json:"code"`
			Message   string  `json:"message"`
			Param     *string `json:"param"`
			RequestID string  `json:"request_id"`
		}
		return map[string]any{"error": inner{e.Code, e.Error(), param, id}}
	}
	kind := "invalid_request_error"
	switch {
	case e.Status == http.StatusUnauthorized:
		kind = "authentication_error"
	case e.Status >= 500:
		kind = "server_error"
	}
	type inner struct {
		Message   string  `json:"message"`
		Type      string  `json:"type"`
		Param     *string `json:"param"`
		Code      string  `json:"code"`
		RequestID string  `json:"request_id"`
	}
	return map[string]any{"error": inner{e.Error(), kind, param, e.Code, id}}
}

// headers are those of an error.
func (e *Error) headers(h http.Header) {
	if e.Retry > 0 {
		h.Set("Retry-After", strconv.Itoa(e.Retry))
	}
	if e.Allow != "" {
		h.Set("Allow", e.Allow)
	}
}

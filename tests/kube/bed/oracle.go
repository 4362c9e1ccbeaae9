package main

// What the apiserver itself makes of a request line and of an object, a line of JSON for each line.

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
)

type reading struct {
	Error string               `json:"error,omitempty"`
	Info  *request.RequestInfo `json:"info,omitempty"`
	Query url.Values           `json:"query,omitempty"`
	// Some text is not UTF-8, which JSON cannot carry.
	Binary bool `json:"binary,omitempty"`
}

func lines(in io.Reader, out io.Writer, each func(line string) any) error {
	input := bufio.NewScanner(in)
	input.Buffer(nil, 64<<20)
	output := bufio.NewWriter(out)
	encoder := json.NewEncoder(output)
	for input.Scan() {
		if err := encoder.Encode(each(input.Text())); err != nil {
			return err
		}
		if err := output.Flush(); err != nil {
			return err
		}
	}
	return input.Err()
}

func requestInfoMain(in io.Reader, out io.Writer) error {
	// It logs what does not decode.
	klog.SetLogger(klog.New(nil))
	factory := &request.RequestInfoFactory{
		APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api"),
	}
	return lines(in, out, func(line string) any { return readRequest(factory, line) })
}

func readRequest(factory *request.RequestInfoFactory, line string) reading {
	method, target, _ := strings.Cut(line, " ")
	bytesOfTarget, err := hex.DecodeString(target)
	if err != nil {
		return reading{Error: err.Error()}
	}
	// A carriage return would end the line, which is another request.
	if bytes.ContainsAny(bytesOfTarget, "\r\n") {
		return reading{Error: "the end of a line"}
	}
	raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: bed\r\n\r\n", method, bytesOfTarget)
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		return reading{Error: err.Error()}
	}
	info, err := factory.NewRequestInfo(req)
	if err != nil {
		return reading{Error: err.Error()}
	}
	query := req.URL.Query()
	found := reading{Info: info, Query: query}
	found.Binary = !utf8.ValidString(req.URL.Path) || !utf8.ValidString(fmt.Sprint(query))
	return found
}

func objectsMain(in io.Reader, out io.Writer) error {
	return lines(in, out, func(line string) any {
		object, err := hex.DecodeString(line)
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		decoded, kind, err := scheme.Codecs.UniversalDeserializer().Decode(object, nil, nil)
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		decoded.GetObjectKind().SetGroupVersionKind(*kind)
		return decoded
	})
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// apiError is an error as the API tells it.
type apiError struct {
	Status  int            `json:"-"`
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details"`
}

// Error implements error.
func (e *apiError) Error() string {
	s := e.Code + ": " + e.Message
	if find, ok := e.Details["find"].(string); ok {
		s += "; the outcome is open: " + find
	}
	return s
}

var httpClient = &http.Client{Timeout: 15 * time.Second}

// call asks a node and returns the body of its answer.
func call(ctx context.Context, method, url, token string, body []byte, headers map[string]string) ([]byte, error) {
	return callWith(ctx, httpClient, method, url, token, body, headers)
}

func callWith(ctx context.Context, client *http.Client, method, url, token string, body []byte, headers map[string]string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, failedf("%s does not answer: %w", strings.TrimSuffix(url, "/"), err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxInput))
	if err != nil {
		return nil, failed(err)
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusAccepted {
		return text, nil
	}
	var answer struct {
		Error *apiError `json:"error"`
	}
	if json.Unmarshal(text, &answer) == nil && answer.Error != nil {
		answer.Error.Status = res.StatusCode
		return text, failed(answer.Error)
	}
	return text, failed(fmt.Errorf("%s answers %s", url, res.Status))
}

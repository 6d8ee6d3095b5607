package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// warnings is the client's log: some refusals stand nowhere else.
var warnings clientLog

// clientLog keeps warnings, and prints errors.
type clientLog struct {
	mutex sync.Mutex
	lines []string
}

func (l *clientLog) forget() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lines = nil
}

func (l *clientLog) has(part string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			return true
		}
	}
	return false
}

func (l *clientLog) Warning(text string, fields map[string]interface{}) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lines = append(l.lines, fmt.Sprint(text, fields))
}

func (l *clientLog) Error(text string, fields map[string]interface{}) {
	fmt.Fprintln(os.Stderr, text, fields)
}

func (l *clientLog) Fatal(text string, fields map[string]interface{}) { l.Error(text, fields) }
func (l *clientLog) Debug(string, map[string]interface{})             {}
func (l *clientLog) Info(string, map[string]interface{})              {}
func (l *clientLog) Level(string)                                     {}
func (l *clientLog) OutputPath(string) error                          { return nil }

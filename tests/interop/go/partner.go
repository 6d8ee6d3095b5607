package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// partner is Java's client in a process of its own, which obeys line by line: java/src/interop/Partner.java.
type partner struct {
	command *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
}

func (c *cluster) newPartner() (*partner, error) {
	words := append(strings.Fields(os.Getenv("INTEROP_JAVA")), "interop.Partner", c.namesrv, c.name("partner"))
	p := &partner{command: exec.Command(words[0], words[1:]...)}
	p.command.Stderr = os.Stderr
	var err error
	if p.orders, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = bufio.NewReader(output)
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if _, err := p.answer("ready"); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

func (p *partner) end() {
	p.command.Process.Kill()
	p.command.Wait()
}

// answer is the rest of the next line that tells of no message; it has to begin with the word.
func (p *partner) answer(word string) (string, error) {
	for {
		line, err := p.answers.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("instead of '%s': %w", word, err)
		}
		first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if first == word {
			return rest, nil
		}
		if first != "got" {
			return "", fmt.Errorf("instead of '%s': %s", word, line)
		}
	}
}

func (p *partner) obey(word string, order ...string) (string, error) {
	if _, err := fmt.Fprintln(p.orders, strings.Join(order, " ")); err != nil {
		return "", err
	}
	return p.answer(word)
}

// text obeys an order whose answer is in Base64.
func (p *partner) text(word string, order ...string) (string, error) {
	answer, err := p.obey(word, order...)
	if err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(answer)
	return string(text), err
}

// actormq runs our command line and returns its rows.
func actormq[Row any](c *cluster, words ...string) ([]Row, error) {
	output, err := exec.Command(os.Getenv("BROKER_BINARY"), append(words, "-n", c.namesrv, "--json")...).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%v: %s", words, failed.Stderr)
		}
		return nil, err
	}
	var rows []Row
	for _, line := range bytes.Split(output, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var row Row
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

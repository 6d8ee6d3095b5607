package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

func restartCases() []testCase {
	return []testCase{
		{"restart after a clean stop", restartLimit, func(c *cluster) error { return restart(c, "stop") }},
		{"restart after kill -9", restartLimit, func(c *cluster) error { return restart(c, "kill") }},
	}
}

// restart ends the broker and starts it again: messages and offsets are all there, and a push consumer goes on where it was.
func restart(c *cluster, ending string) error {
	topic, err := c.newTopic("restart", 1)
	if err != nil {
		return err
	}
	if err := c.send(topic, 0, 60); err != nil {
		return err
	}
	if err := expectBodies(c, topic, 60); err != nil {
		return err
	}
	group := c.name("restart")
	if err := commit(c, group, topic, 55); err != nil {
		return err
	}
	if err := c.server(ending, "broker"); err != nil {
		return err
	}
	if err := c.server("start", "broker", c.flavour); err != nil {
		return err
	}
	if err := c.awaitRoute(topic, 1); err != nil {
		return err
	}
	if err := expectBodies(c, topic, 60); err != nil {
		return err
	}
	received := newInbox()
	pusher, err := received.start(c, "one", group, topic, "*")
	if err != nil {
		return err
	}
	defer pusher.Shutdown()
	if err := c.send(topic, 60, 61); err != nil {
		return err
	}
	if err := received.await(6); err != nil {
		return err
	}
	return all(received.expectOnce(6), expect(1, received.bodies["m-55"], "times that the first message not consumed came"))
}

// stored tells whether the broker has written a group's offset down: it does so now and then, not at each commit.
func (c *cluster) stored(topic, group string, offset int64) (bool, error) {
	text, err := os.ReadFile(filepath.Join(c.store, "config", "consumerOffset.json"))
	entry := regexp.MustCompile(fmt.Sprintf(`"%s@%s"\s*:\s*\{[^}]*\d+"?\s*:\s*%d\s*[,}]`, topic, group, offset))
	return entry.Match(text), err
}

// storedInAll tells whether the offsets of a group in all queues of a topic add up to a sum, in the broker's file.
func (c *cluster) storedInAll(topic, group string, sum int) (bool, error) {
	text, err := os.ReadFile(filepath.Join(c.store, "config", "consumerOffset.json"))
	entry := regexp.MustCompile(fmt.Sprintf(`"%s@%s"\s*:\s*\{([^}]*)\}`, topic, group)).FindSubmatch(text)
	if entry == nil {
		return false, err
	}
	for _, pair := range regexp.MustCompile(`:\s*(\d+)`).FindAllSubmatch(entry[1], -1) {
		var offset int
		if _, err := fmt.Sscan(string(pair[1]), &offset); err != nil {
			return false, err
		}
		sum -= offset
	}
	return sum == 0, err
}

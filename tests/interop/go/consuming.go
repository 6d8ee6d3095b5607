package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func consumingCases() []testCase {
	return []testCase{
		{"pull from an offset", caseLimit, pullFrom},
		{"pull consumer keeps its offset at the broker", caseLimit, offsetKept},
		{"push gets each message once", caseLimit, pushOnce},
		{"push by tag", caseLimit, pushByTag},
		{"push with two instances, one leaves", 2 * caseLimit, pushRebalance},
		{"broadcasting: each instance gets all, and goes on where it was", caseLimit, broadcasting},
	}
}

// inbox is what the consumers of a group have received, by instance and body.
type inbox struct {
	mutex    sync.Mutex
	bodies   map[string]int
	counts   map[string]int
	messages []*primitive.MessageExt
}

func newInbox() *inbox {
	return &inbox{bodies: map[string]int{}, counts: map[string]int{}}
}

// start starts an instance of the group that puts what it gets into the inbox under its name.
func (i *inbox) start(c *cluster, instance, group, topic, tags string) (rocketmq.PushConsumer, error) {
	return i.startChoosing(c, instance, group, topic, consumer.MessageSelector{Type: consumer.TAG, Expression: tags})
}

// startChoosing does the same with any selector, and perhaps with more options.
func (i *inbox) startChoosing(c *cluster, instance, group, topic string, selector consumer.MessageSelector,
	options ...consumer.Option) (rocketmq.PushConsumer, error) {
	made, err := rocketmq.NewPushConsumer(append(c.consumerOptions(group), options...)...)
	if err != nil {
		return nil, err
	}
	err = made.Subscribe(topic, selector, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		i.mutex.Lock()
		defer i.mutex.Unlock()
		for _, message := range messages {
			i.bodies[string(message.Body)]++
			i.counts[instance]++
			i.messages = append(i.messages, message)
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return nil, err
	}
	return made, made.Start()
}

func (i *inbox) size() int {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return len(i.bodies)
}

func (i *inbox) count(instance string) int {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return i.counts[instance]
}

func (i *inbox) await(size int) error {
	return await(waitLimit, fmt.Sprintf("%d messages received", size), func() (bool, error) { return i.size() >= size, nil })
}

// expectOnce checks that so many bodies were received, each once.
func (i *inbox) expectOnce(size int) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	for body, times := range i.bodies {
		if times != 1 {
			return fmt.Errorf("%s was received %d times", body, times)
		}
	}
	return expect(size, len(i.bodies), "bodies received")
}

// expectOnceFrom checks that the bodies m-FROM to m-(TO-1) were received once each. What came before may have come twice: the
// client takes a queue over without waiting for its last owner's commit.
func (i *inbox) expectOnceFrom(from, to int) error {
	return i.expectTimes(1, numbered(from, to)...)
}

// expectTimes checks how often each of the bodies came.
func (i *inbox) expectTimes(times int, bodies ...string) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	for _, body := range bodies {
		if err := expect(times, i.bodies[body], "times that "+body+" came"); err != nil {
			return err
		}
	}
	return nil
}

// numbered is the bodies m-FROM to m-(TO-1).
func numbered(from, to int) []string {
	var bodies []string
	for number := from; number < to; number++ {
		bodies = append(bodies, fmt.Sprintf("m-%d", number))
	}
	return bodies
}

func startPuller(c *cluster, group, topic string) (rocketmq.PullConsumer, error) {
	puller, err := rocketmq.NewPullConsumer(c.consumerOptions(group)...)
	if err != nil {
		return nil, err
	}
	if err := puller.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}); err != nil {
		return nil, err
	}
	return puller, puller.Start()
}

// drain reads a topic from its beginning by a push consumer of a new group, until it has so many messages; the pull consumer
// cannot: it does not tell where a queue ends, and a pull at the end is held for 20 s.
func drain(c *cluster, topic string, count int) ([]*primitive.MessageExt, error) {
	received := newInbox()
	reader, err := received.start(c, "reader", c.name("drain"), topic, "*")
	if err != nil {
		return nil, err
	}
	defer reader.Shutdown()
	if err := received.await(count); err != nil {
		return nil, err
	}
	return received.messages, nil
}

func pullFrom(c *cluster) error {
	topic, err := c.newTopic("pull", 1)
	if err != nil {
		return err
	}
	if err := c.send(topic, 0, 50); err != nil {
		return err
	}
	if err := expectBodies(c, topic, 50); err != nil {
		return err
	}
	puller, err := startPuller(c, c.name("pull"), topic)
	if err != nil {
		return err
	}
	defer puller.Shutdown()
	result, err := puller.PullFrom(context.Background(), c.queues(topic, 1)[0], 10, 16)
	if err != nil {
		return err
	}
	return all(
		expect(primitive.PullFound, result.Status, "status"),
		expect(16, len(result.GetMessageExts()), "messages"),
		expect(int64(26), result.NextBeginOffset, "next"),
		expect(int64(50), result.MaxOffset, "maximum"),
		expect("m-10", string(result.GetMessageExts()[0].Body), "first body"))
}

// commit stores an offset as a pull consumer of the group does, and returns when the broker has written it down.
func commit(c *cluster, group, topic string, offset int64) error {
	puller, err := startPuller(c, group, topic)
	if err != nil {
		return err
	}
	defer puller.Shutdown()
	queue := c.queues(topic, 1)[0]
	// The pull makes the group: an offset of an unknown group is not taken.
	if _, err := puller.PullFrom(context.Background(), queue, 0, 1); err != nil {
		return err
	}
	// The client forgets the offset of a queue that no rebalance has given it yet, so this is done until the broker has it.
	return await(waitLimit, "the offset at the broker", func() (bool, error) {
		err := all(puller.UpdateOffset(queue, offset), puller.PersistOffset(context.Background(), topic))
		if err != nil {
			return false, err
		}
		return c.stored(topic, group, offset)
	})
}

// committed is the offset of a group at the broker, as a new consumer of the group sees it.
func committed(c *cluster, group, topic string) (int64, error) {
	puller, err := startPuller(c, group, topic)
	if err != nil {
		return 0, err
	}
	defer puller.Shutdown()
	return puller.CurrentOffset(c.queues(topic, 1)[0])
}

func offsetKept(c *cluster) error {
	topic, err := c.newTopic("kept", 1)
	if err != nil {
		return err
	}
	if err := c.send(topic, 0, 10); err != nil {
		return err
	}
	if _, err := drain(c, topic, 10); err != nil {
		return err
	}
	group := c.name("kept")
	if err := commit(c, group, topic, 7); err != nil {
		return err
	}
	seen, err := committed(c, group, topic)
	return all(err, expect(int64(7), seen, "offset that another consumer of the group reads"))
}

func pushOnce(c *cluster) error {
	topic, err := c.newTopic("push", 4)
	if err != nil {
		return err
	}
	if err := c.send(topic, 0, 50); err != nil {
		return err
	}
	received := newInbox()
	pusher, err := received.start(c, "one", c.name("push"), topic, "*")
	if err != nil {
		return err
	}
	defer pusher.Shutdown()
	if err := received.await(50); err != nil {
		return err
	}
	if err := c.send(topic, 50, 100); err != nil {
		return err
	}
	if err := received.await(100); err != nil {
		return err
	}
	return received.expectOnce(100)
}

func pushByTag(c *cluster) error {
	topic, err := c.newTopic("tag", 4)
	if err != nil {
		return err
	}
	for i := 0; i < 60; i++ {
		tag := []string{"red", "green", "blue"}[i%3]
		message := primitive.NewMessage(topic, fmt.Appendf(nil, "%s-%d", tag, i)).WithTag(tag)
		if _, err := c.producer.SendSync(context.Background(), message); err != nil {
			return err
		}
	}
	received := newInbox()
	pusher, err := received.start(c, "one", c.name("tag"), topic, "red || blue")
	if err != nil {
		return err
	}
	defer pusher.Shutdown()
	if err := received.await(40); err != nil {
		return err
	}
	for body := range received.bodies {
		if strings.HasPrefix(body, "green") {
			return fmt.Errorf("%s was received", body)
		}
	}
	return received.expectOnce(40)
}

func pushRebalance(c *cluster) error {
	topic, err := c.newTopic("rebalance", 4)
	if err != nil {
		return err
	}
	sent := 0
	received := newInbox()
	wave := func() error {
		if err := c.send(topic, sent, sent+40); err != nil {
			return err
		}
		sent += 40
		return received.await(sent)
	}
	// A first wave, so that the queues are not empty: a new group then starts at their beginning.
	if err := c.send(topic, 0, 40); err != nil {
		return err
	}
	sent = 40
	group := c.name("rebalance")
	stays, err := received.start(c, "stays", group, topic, "*")
	if err != nil {
		return err
	}
	defer stays.Shutdown()
	if err := received.await(sent); err != nil {
		return err
	}
	leaves, err := received.start(c, "leaves", group, topic, "*")
	if err != nil {
		return err
	}
	// The client does not tell which queues it owns: send until two waves in a row came by halves, each message once. While a queue
	// moves, both instances may hold it for a moment, and its messages then come to both.
	steady, shared := 0, 0
	err = await(waitLimit, "two waves that both instances share", func() (bool, error) {
		steady = sent
		stayed, left := received.count("stays"), received.count("leaves")
		if err := wave(); err != nil {
			return false, err
		}
		if received.count("stays")-stayed == 20 && received.count("leaves")-left == 20 {
			shared++
		} else {
			shared = 0
		}
		return shared == 2, nil
	})
	if err != nil {
		leaves.Shutdown()
		return err
	}
	// Offsets are stored every few seconds; until then a member that takes a queue over gets its last messages again.
	err = await(2*waitLimit, "the offsets of all that was consumed", func() (bool, error) {
		return c.storedInAll(topic, group, sent)
	})
	if err != nil {
		leaves.Shutdown()
		return err
	}
	if err := leaves.Shutdown(); err != nil {
		return err
	}
	after := received.count("leaves")
	start := time.Now()
	if err := wave(); err != nil {
		return err
	}
	return all(
		expect(true, time.Since(start) < 10*time.Second, "the queues move well before the next 20 s rebalance"),
		expect(after, received.count("leaves"), "messages of the instance that left"),
		received.expectOnceFrom(steady, sent))
}

func broadcasting(c *cluster) error {
	topic, err := c.newTopic("broadcast", 2)
	if err != nil {
		return err
	}
	group, name := c.name("broadcast"), c.name("instance")
	everything := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	start := func(received *inbox, options ...consumer.Option) (rocketmq.PushConsumer, error) {
		options = append(options, consumer.WithConsumerModel(consumer.BroadCasting))
		return received.startChoosing(c, "one", group, topic, everything, options...)
	}
	one, two, again := newInbox(), newInbox(), newInbox()
	stays, err := start(one)
	if err != nil {
		return err
	}
	defer stays.Shutdown()
	leaves, err := start(two, consumer.WithInstance(name))
	if err != nil {
		return err
	}
	err = all(c.send(topic, 0, 20), one.await(20), two.await(20), leaves.Shutdown(), c.send(topic, 20, 30), one.await(30))
	if err != nil {
		return err
	}
	// Its offsets lie in a file under its name.
	returns, err := start(again, consumer.WithInstance(name))
	if err != nil {
		return err
	}
	defer returns.Shutdown()
	if err := again.await(10); err != nil {
		return err
	}
	return all(one.expectOnce(30), two.expectOnce(20), again.expectOnce(10), again.expectOnceFrom(20, 30))
}

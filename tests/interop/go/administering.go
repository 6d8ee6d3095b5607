package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func administeringCases() []testCase {
	return []testCase{
		// The client waits ten seconds before it reads such a queue again, and the next rebalance may take twenty more.
		{"a running group is reset to a time by the broker", 2 * caseLimit, func(c *cluster) error { return reset(c, true) }},
		{"a running group is reset to a time by its consumers", 2 * caseLimit, func(c *cluster) error { return reset(c, false) }},
		{"a consumer is asked for its state, and given a message", caseLimit, asked},
		{"the trace of a message", caseLimit, traced},
	}
}

// reset sends two halves, and lets a running group that has both go on at the second's time.
func reset(c *cluster, byBroker bool) error {
	topic, err := c.newTopic("reset", 2)
	if err != nil {
		return err
	}
	setting := func(value bool) error {
		_, err := actormq[any](c, "broker", "config", "--broker", "broker-a", "--set", fmt.Sprintf("useServerSideResetOffset=%t", value))
		return err
	}
	if err := setting(byBroker); err != nil {
		return err
	}
	defer setting(true)
	if err := c.send(topic, 0, 10); err != nil {
		return err
	}
	first := time.Now().UnixMilli()
	if err := await(waitLimit, "another millisecond", func() (bool, error) { return time.Now().UnixMilli() > first, nil }); err != nil {
		return err
	}
	half := time.Now().UnixMilli()
	if err := c.send(topic, 10, 20); err != nil {
		return err
	}
	received := newInbox()
	group := c.name("reset")
	runs, err := received.start(c, "one", group, topic, "*")
	if err != nil {
		return err
	}
	defer runs.Shutdown()
	if err := received.await(20); err != nil {
		return err
	}
	if err := received.expectOnce(20); err != nil {
		return err
	}
	if !byBroker {
		// A broker asks the consumers only about queues that have an offset; they store the first after ten seconds.
		if err := await(waitLimit, "its offsets", func() (bool, error) { return c.committedSum(group, topic, 20) }); err != nil {
			return err
		}
	}
	type place struct{ Offset int64 }
	places, err := actormq[place](c, "group", "reset", group, "--topic", topic, "--to", fmt.Sprint(half))
	if err != nil {
		return err
	}
	if err := expect(10, places[0].Offset+places[1].Offset, "where the queues go on, together"); err != nil {
		return err
	}
	// The pulls that wait are answered with these.
	if err := c.send(topic, 20, 24); err != nil {
		return err
	}
	err = await(caseLimit, "the second half again, and what came then", func() (bool, error) {
		return received.size() == 24, received.expectTimes(2, numbered(10, 20)...)
	})
	if err != nil {
		return err
	}
	return received.expectTimes(1, numbered(0, 10)...)
}

// committedSum tells whether the offsets of a group in all queues of a topic add up to a sum.
func (c *cluster) committedSum(group, topic string, sum int64) (bool, error) {
	type progress struct{ CommittedOffset int64 }
	queues, err := actormq[progress](c, "group", "offsets", group, "--topic", topic)
	for _, queue := range queues {
		sum -= queue.CommittedOffset
	}
	return sum == 0, err
}

// asked lets Java's admin tool ask a consumer.
func asked(c *cluster) error {
	java, err := c.newPartner()
	if err != nil {
		return err
	}
	defer java.end()
	topic, err := c.newTopic("asked", 1)
	if err != nil {
		return err
	}
	sent, err := c.producer.SendSync(context.Background(), primitive.NewMessage(topic, []byte("again")))
	if err != nil {
		return err
	}
	received := newInbox()
	group := c.name("asked")
	runs, err := received.start(c, "one", group, topic, "*")
	if err != nil {
		return err
	}
	defer runs.Shutdown()
	if err := received.await(1); err != nil {
		return err
	}
	type member struct{ ClientId, Language string }
	members, err := actormq[member](c, "connections", "--group", group)
	if err != nil {
		return err
	}
	if err := all(expect(1, len(members), "members"), expect("GO", members[0].Language, "language")); err != nil {
		return err
	}
	id := members[0].ClientId
	// A rebalance is over when the consumer has its queue's offset.
	err = await(waitLimit, "its offset", func() (bool, error) {
		where, err := java.text("said", "where", group, topic)
		if err == nil && !(strings.Contains(where, id+"=") && strings.Contains(where, "queueId=0]=1}")) {
			err = fmt.Errorf("%s", where)
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	state, err := java.text("said", "mqadmin", "consumerStatus", "-g", group, "-i", id)
	if err != nil {
		return err
	}
	for _, part := range []string{"PROP_CONSUME_TYPE", "Topic: " + topic} {
		if !strings.Contains(state, part) {
			return fmt.Errorf("no '%s' in its state: %s", part, state)
		}
	}
	given, err := java.text("said", "mqadmin", "queryMsgById", "-t", topic, "-i", sent.OffsetMsgID, "-g", group, "-d", id)
	if err != nil {
		return err
	}
	if !strings.Contains(given, "consumeResult=CR_SUCCESS") {
		return fmt.Errorf("no success: %s", given)
	}
	return received.expectTimes(2, "again")
}

// traceStep is a row of our command, with what all kinds of steps have.
type traceStep struct {
	Step, Group, Topic, MessageId, Tags, Keys, StoreHost, OffsetMessageId, RequestId string
	Success                                                                          bool
	BodyBytes                                                                        int
}

func traced(c *cluster) error {
	topic, err := c.newTopic("traced", 1)
	if err != nil {
		return err
	}
	writes := &primitive.TraceConfig{Access: primitive.Local, NamesrvAddrs: primitive.NamesrvAddr{c.namesrv}}
	sendsAs, group := c.name("sends"), c.name("traced")
	sends, err := c.newProducer(producer.WithGroupName(sendsAs), producer.WithTrace(writes))
	if err != nil {
		return err
	}
	defer sends.Shutdown()
	message := primitive.NewMessage(topic, []byte("followed")).WithTag("red").WithKeys([]string{"order-7"})
	sent, err := sends.SendSync(context.Background(), message)
	if err != nil {
		return err
	}
	received := newInbox()
	everything := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	runs, err := received.startChoosing(c, "one", group, topic, everything, consumer.WithTrace(writes))
	if err != nil {
		return err
	}
	defer runs.Shutdown()
	var steps []traceStep
	err = await(waitLimit, "its three steps", func() (bool, error) {
		steps, err = actormq[traceStep](c, "message", "trace", sent.MsgID)
		return len(steps) == 3, err
	})
	if err != nil {
		return err
	}
	// What is consumed at once may be written down within the same millisecond.
	of := map[string]traceStep{}
	for _, step := range steps {
		of[step.Step] = step
	}
	stored, begins, ends := of["sent"], of["consuming"], of["consumed"]
	return all(
		expect(sendsAs, stored.Group, "producer's group"),
		expect(topic, stored.Topic, "topic"),
		expect("red", stored.Tags, "tag"),
		expect("order-7", stored.Keys, "key"),
		expect(c.broker, stored.StoreHost, "broker"),
		expect(sent.OffsetMsgID, stored.OffsetMessageId, "the broker's id"),
		expect(len("followed"), stored.BodyBytes, "bytes"),
		expect(true, stored.Success, "stored"),
		expect(group, begins.Group, "consumer's group"),
		expect(sent.MsgID, begins.MessageId, "id"),
		expect(begins.RequestId, ends.RequestId, "id of the consumption"),
		expect(group, ends.Group, "consumer's group at the end"),
		expect(true, ends.Success, "consumed"))
}

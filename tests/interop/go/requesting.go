package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const replyLimit = 20 * time.Second

func requestingCases() []testCase {
	return []testCase{
		{"a request is answered", caseLimit, request},
		{"a request that nobody answers", caseLimit, unanswered},
		{"requests of java are answered, and java answers", caseLimit, requestWithJava},
	}
}

// startEcho starts a consumer that replies to each request with its body twice, as the one in java/src/interop/Requesting.java.
func (c *cluster) startEcho(topic string) (rocketmq.PushConsumer, error) {
	made, err := rocketmq.NewPushConsumer(c.consumerOptions(c.name("echo"))...)
	if err != nil {
		return nil, err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	err = made.Subscribe(topic, selector, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			// The client takes the body that it is given here for properties.
			reply, err := consumer.CreateReplyMessage(message, nil)
			if err != nil {
				return consumer.ConsumeRetryLater, err
			}
			reply.Body = bytes.Repeat(message.Body, 2)
			if _, err := c.producer.SendSync(context.Background(), reply); err != nil {
				return consumer.ConsumeRetryLater, err
			}
		}
		return consumer.ConsumeSuccess, nil
	})
	if err != nil {
		return nil, err
	}
	return made, made.Start()
}

// newAsker is a producer that the broker can send replies to: that takes a heartbeat, and the client's first one comes a second after
// its start, and goes to brokers that it has sent to.
func (c *cluster) newAsker() (rocketmq.Producer, error) {
	group := c.name("asks")
	elsewhere, err := c.newTopic("elsewhere", 1)
	if err != nil {
		return nil, err
	}
	asks, err := c.newProducer(producer.WithGroupName(group))
	if err != nil {
		return nil, err
	}
	if _, err := asks.SendSync(context.Background(), primitive.NewMessage(elsewhere, []byte("here I am"))); err != nil {
		return nil, err
	}
	return asks, await(waitLimit, "its heartbeat", func() (bool, error) {
		known, err := actormq[any](c, "connections", "--group", group)
		return len(known) == 1, err
	})
}

func request(c *cluster) error {
	topic, err := c.newTopic("request", 1)
	if err != nil {
		return err
	}
	echo, err := c.startEcho(topic)
	if err != nil {
		return err
	}
	defer echo.Shutdown()
	asks, err := c.newAsker()
	if err != nil {
		return err
	}
	defer asks.Shutdown()
	reply, err := asks.Request(context.Background(), replyLimit, primitive.NewMessage(topic, []byte("one")))
	if err != nil {
		return err
	}
	if err := expect("oneone", string(reply.Body), "reply"); err != nil {
		return err
	}
	later := make(chan string, 1)
	answered := func(_ context.Context, reply *primitive.Message, err error) {
		if err != nil {
			later <- err.Error()
		} else {
			later <- string(reply.Body)
		}
	}
	if err := asks.RequestAsync(context.Background(), replyLimit, answered, primitive.NewMessage(topic, []byte("two"))); err != nil {
		return err
	}
	select {
	case text := <-later:
		return expect("twotwo", text, "later reply")
	case <-time.After(replyLimit):
		return fmt.Errorf("no later reply within %v", replyLimit)
	}
}

func unanswered(c *cluster) error {
	topic, err := c.newTopic("unanswered", 1)
	if err != nil {
		return err
	}
	reply, err := c.producer.Request(context.Background(), time.Second, primitive.NewMessage(topic, []byte("hello?")))
	if err == nil {
		return fmt.Errorf("the reply %s", reply)
	}
	messages, err := drain(c, topic, 1)
	if err != nil {
		return err
	}
	return all(
		expect("hello?", string(messages[0].Body), "body"),
		expect("1", messages[0].GetProperty("TTL"), "seconds that it was to be answered in"))
}

func requestWithJava(c *cluster) error {
	java, err := c.newPartner()
	if err != nil {
		return err
	}
	defer java.end()
	ours, err := c.newTopic("ours", 1)
	if err != nil {
		return err
	}
	theirs, err := c.newTopic("theirs", 1)
	if err != nil {
		return err
	}
	echo, err := c.startEcho(ours)
	if err != nil {
		return err
	}
	defer echo.Shutdown()
	body := base64.StdEncoding.EncodeToString([]byte("java"))
	text, err := java.text("reply", "ask", ours, body, fmt.Sprint(replyLimit.Milliseconds()))
	if err != nil {
		return err
	}
	if err := expect("javajava", text, "reply to java"); err != nil {
		return err
	}
	if _, err := java.obey("echoes", "echo", c.name("java"), theirs); err != nil {
		return err
	}
	asks, err := c.newAsker()
	if err != nil {
		return err
	}
	defer asks.Shutdown()
	reply, err := asks.Request(context.Background(), replyLimit, primitive.NewMessage(theirs, []byte("go")))
	if err != nil {
		return err
	}
	return expect("gogo", string(reply.Body), "reply of java")
}

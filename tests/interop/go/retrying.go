package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// The servers are set to delay levels of 1 s, 2 s, 1 s, 1 s, and then RocketMQ's own.
func retryingCases() []testCase {
	return []testCase{
		{"a delay level: not before its time", caseLimit, delayLevel},
		// The client asks for the route of its retry topic each 30 s.
		{"a failing listener gets its message again, and then it is a dead letter", 2 * caseLimit, deadLetter},
	}
}

// deliveries is what a listener saw, in order.
type deliveries struct {
	mutex    sync.Mutex
	messages []*primitive.MessageExt
}

func (d *deliveries) await(count int) (*primitive.MessageExt, error) {
	err := await(2*waitLimit, fmt.Sprintf("%d deliveries", count), func() (bool, error) {
		d.mutex.Lock()
		defer d.mutex.Unlock()
		return len(d.messages) >= count, nil
	})
	if err != nil {
		return nil, err
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.messages[count-1], nil
}

func (d *deliveries) start(c *cluster, group, topic string, result consumer.ConsumeResult) (rocketmq.PushConsumer, error) {
	made, err := rocketmq.NewPushConsumer(append(c.consumerOptions(group), consumer.WithMaxReconsumeTimes(1))...)
	if err != nil {
		return nil, err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	err = made.Subscribe(topic, selector, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		d.mutex.Lock()
		defer d.mutex.Unlock()
		d.messages = append(d.messages, messages...)
		return result, nil
	})
	if err != nil {
		return nil, err
	}
	return made, made.Start()
}

func delayLevel(c *cluster) error {
	topic, err := c.newTopic("delay", 1)
	if err != nil {
		return err
	}
	seen := &deliveries{}
	made, err := seen.start(c, c.name("delay"), topic, consumer.ConsumeSuccess)
	if err != nil {
		return err
	}
	defer made.Shutdown()
	began := time.Now()
	if _, err := c.producer.SendSync(context.Background(), primitive.NewMessage(topic, []byte("late")).WithDelayTimeLevel(2)); err != nil {
		return err
	}
	came, err := seen.await(1)
	if err != nil {
		return err
	}
	if waited := time.Since(began); waited < 2*time.Second {
		return fmt.Errorf("it came after %v", waited)
	}
	return all(
		expect(topic, came.GetProperty("REAL_TOPIC"), "real topic"),
		expect("2", came.GetProperty("DELAY"), "level"),
		expect("late", string(came.Body), "body"))
}

func deadLetter(c *cluster) error {
	topic, err := c.newTopic("retry", 1)
	if err != nil {
		return err
	}
	group := c.name("retry")
	seen := &deliveries{}
	made, err := seen.start(c, group, topic, consumer.ConsumeRetryLater)
	if err != nil {
		return err
	}
	defer made.Shutdown()
	sent, err := c.producer.SendSync(context.Background(), primitive.NewMessage(topic, []byte("fails")))
	if err != nil {
		return err
	}
	if _, err := seen.await(1); err != nil {
		return err
	}
	again, err := seen.await(2)
	if err != nil {
		return err
	}
	err = all(
		expect(int32(1), again.ReconsumeTimes, "reconsume times"),
		expect(topic, again.GetProperty("RETRY_TOPIC"), "the topic that it came from"),
		expect(sent.OffsetMsgID, again.GetProperty("ORIGIN_MESSAGE_ID"), "the first message's id"),
		expect("3", again.GetProperty("DELAY"), "level"))
	if err != nil {
		return err
	}
	dead := "%DLQ%" + group
	if err := c.awaitRoute(dead, 1); err != nil {
		return err
	}
	letters := &deliveries{}
	reader, err := letters.start(c, c.name("undertaker"), dead, consumer.ConsumeSuccess)
	if err != nil {
		return err
	}
	defer reader.Shutdown()
	letter, err := letters.await(1)
	if err != nil {
		return err
	}
	return all(
		expect(int32(2), letter.ReconsumeTimes, "reconsume times of the dead letter"),
		expect("fails", string(letter.Body), "body"))
}

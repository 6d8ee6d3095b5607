package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"sync"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func sendingCases() []testCase {
	return []testCase{
		{"send sync", caseLimit, sendSync},
		{"send async", caseLimit, sendAsync},
		{"send oneway", caseLimit, sendOneway},
		{"send batch", caseLimit, sendBatch},
		{"send to a queue", caseLimit, sendToQueue},
		{"topic made by the first send", caseLimit, autoCreation},
		{"body of 1 MiB", caseLimit, largeBody},
		{"body compressed by zlib", caseLimit, compressedBody},
		{"topics listed by the admin client", caseLimit, topicList},
	}
}

func sendSync(c *cluster) error {
	topic, err := c.newTopic("sync", 4)
	if err != nil {
		return err
	}
	next := map[int]int64{}
	for i := 0; i < 20; i++ {
		result, err := c.producer.SendSync(context.Background(), primitive.NewMessage(topic, fmt.Appendf(nil, "m-%d", i)))
		if err != nil {
			return err
		}
		queue := result.MessageQueue.QueueId
		err = all(
			expect(primitive.SendOK, result.Status, "status"),
			expect(next[queue], result.QueueOffset, "queue offset"),
			expect("DefaultRegion", result.RegionID, "region"))
		if err != nil {
			return err
		}
		next[queue]++
	}
	return expectBodies(c, topic, 20)
}

func sendAsync(c *cluster) error {
	topic, err := c.newTopic("async", 4)
	if err != nil {
		return err
	}
	var answers sync.WaitGroup
	failures := make(chan error, 100)
	for i := 0; i < 100; i++ {
		answers.Add(1)
		err := c.producer.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			defer answers.Done()
			if err == nil {
				err = expect(primitive.SendOK, result.Status, "status")
			}
			failures <- err
		}, primitive.NewMessage(topic, fmt.Appendf(nil, "m-%d", i)))
		if err != nil {
			return err
		}
	}
	answers.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	return expectBodies(c, topic, 100)
}

func sendOneway(c *cluster) error {
	topic, err := c.newTopic("oneway", 4)
	if err != nil {
		return err
	}
	for i := 0; i < 100; i++ {
		if err := c.producer.SendOneWay(context.Background(), primitive.NewMessage(topic, fmt.Appendf(nil, "m-%d", i))); err != nil {
			return err
		}
	}
	return expectBodies(c, topic, 100)
}

func sendBatch(c *cluster) error {
	topic, err := c.newTopic("batch", 4)
	if err != nil {
		return err
	}
	var messages []*primitive.Message
	for i := 0; i < 32; i++ {
		messages = append(messages, primitive.NewMessage(topic, fmt.Appendf(nil, "m-%d", i)))
	}
	result, err := c.producer.SendSync(context.Background(), messages...)
	if err != nil {
		return err
	}
	if err := expect(int64(0), result.QueueOffset, "offset of the first"); err != nil {
		return err
	}
	return expectBodies(c, topic, 32)
}

func sendToQueue(c *cluster) error {
	topic, err := c.newTopic("queue", 4)
	if err != nil {
		return err
	}
	manual, err := c.newProducer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	if err != nil {
		return err
	}
	defer manual.Shutdown()
	for i := 0; i < 10; i++ {
		message := primitive.NewMessage(topic, fmt.Appendf(nil, "m-%d", i))
		message.Queue = c.queues(topic, 4)[3]
		result, err := manual.SendSync(context.Background(), message)
		if err != nil {
			return err
		}
		err = all(expect(3, result.MessageQueue.QueueId, "queue"), expect(int64(i), result.QueueOffset, "queue offset"))
		if err != nil {
			return err
		}
	}
	return nil
}

func autoCreation(c *cluster) error {
	topic := c.name("auto")
	if err := c.send(topic, 0, 1); err != nil {
		return err
	}
	if err := c.awaitRoute(topic, 4); err != nil {
		return err
	}
	if err := c.send(topic, 1, 10); err != nil {
		return err
	}
	return expectBodies(c, topic, 10)
}

func largeBody(c *cluster) error {
	body := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(body)
	return roundTrip(c, body)
}

func compressedBody(c *cluster) error {
	return roundTrip(c, bytes.Repeat([]byte("a broker made of actors "), 5000))
}

// roundTrip sends a body and reads it by a pull.
func roundTrip(c *cluster, body []byte) error {
	topic, err := c.newTopic("body", 1)
	if err != nil {
		return err
	}
	message := primitive.NewMessage(topic, body).WithTag("tag").WithKeys([]string{"key"})
	message.WithProperty("colour", "grün")
	if _, err := c.producer.SendSync(context.Background(), message); err != nil {
		return err
	}
	messages, err := drain(c, topic, 1)
	if err != nil {
		return err
	}
	seen := messages[0]
	return all(
		expect(true, bytes.Equal(body, seen.Body), "the body is the body sent"),
		expect("tag", seen.GetTags(), "tag"),
		expect("key", seen.GetKeys(), "key"),
		expect("grün", seen.GetProperty("colour"), "own property"))
}

func topicList(c *cluster) error {
	topic, err := c.newTopic("list", 1)
	if err != nil {
		return err
	}
	list, err := c.admin.FetchAllTopicList(context.Background())
	if err != nil {
		return err
	}
	for _, each := range list.TopicList {
		if each == topic {
			return nil
		}
	}
	return fmt.Errorf("%s is not among %v", topic, list.TopicList)
}

// expectBodies checks that the topic holds the bodies m-0 ... once each.
func expectBodies(c *cluster, topic string, count int) error {
	messages, err := drain(c, topic, count)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for _, message := range messages {
		seen[string(message.Body)]++
	}
	for i := 0; i < count; i++ {
		if err := expect(1, seen[fmt.Sprintf("m-%d", i)], fmt.Sprintf("times that m-%d is there", i)); err != nil {
			return err
		}
	}
	return expect(count, len(seen), "messages")
}

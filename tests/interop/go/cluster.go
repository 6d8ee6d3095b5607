package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	caseLimit    = 60 * time.Second
	restartLimit = 240 * time.Second
	serverLimit  = 160 * time.Second
	waitLimit    = 40 * time.Second
)

// cluster is the servers under test and the clients that all cases share.
type cluster struct {
	namesrv, broker, store string
	directory, control     string
	flavour                string
	producer               rocketmq.Producer
	admin                  admin.Admin
	names                  atomic.Int64
}

func openCluster(directory, control, flavour string) (*cluster, error) {
	text, err := os.ReadFile(filepath.Join(directory, "env"))
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if key, value, found := strings.Cut(line, "="); found {
			env[key] = value
		}
	}
	c := &cluster{namesrv: env["NAMESRV"], broker: env["BROKER"], store: env["STORE"],
		directory: directory, control: control, flavour: flavour}
	if c.producer, err = c.newProducer(); err != nil {
		return nil, err
	}
	c.admin, err = admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver([]string{c.namesrv})))
	return c, err
}

// name makes a name that no other case has used.
func (c *cluster) name(stem string) string {
	return fmt.Sprintf("go-%s-%d-%d", stem, os.Getpid(), c.names.Add(1))
}

func (c *cluster) newProducer(options ...producer.Option) (rocketmq.Producer, error) {
	options = append([]producer.Option{
		producer.WithNameServer(primitive.NamesrvAddr{c.namesrv}),
		producer.WithGroupName(c.name("producer")),
		producer.WithInstanceName(c.name("instance")),
		producer.WithSendMsgTimeout(10 * time.Second),
		producer.WithRetry(2),
	}, options...)
	made, err := rocketmq.NewProducer(options...)
	if err != nil {
		return nil, err
	}
	return made, made.Start()
}

func (c *cluster) consumerOptions(group string) []consumer.Option {
	return []consumer.Option{
		consumer.WithNameServer(primitive.NamesrvAddr{c.namesrv}),
		consumer.WithGroupName(group),
		consumer.WithInstance(c.name("instance")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}
}

// newTopic makes a topic at the broker and waits until the name server tells its route.
func (c *cluster) newTopic(stem string, queues int) (string, error) {
	topic := c.name(stem)
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	err := c.admin.CreateTopic(ctx, admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(c.broker),
		admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues))
	if err != nil {
		return "", err
	}
	return topic, c.awaitRoute(topic, queues)
}

func (c *cluster) awaitRoute(topic string, queues int) error {
	return await(waitLimit, "a route to "+topic, func() (bool, error) {
		seen, err := c.admin.FetchPublishMessageQueues(context.Background(), topic)
		return len(seen) == queues, err
	})
}

func (c *cluster) queues(topic string, count int) []*primitive.MessageQueue {
	queues := make([]*primitive.MessageQueue, count)
	for i := range queues {
		queues[i] = &primitive.MessageQueue{Topic: topic, BrokerName: "broker-a", QueueId: i}
	}
	return queues
}

// server runs the server program with the given words after the directory.
func (c *cluster) server(words ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), serverLimit)
	defer cancel()
	output, err := exec.CommandContext(ctx, c.control, append([]string{c.directory}, words...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %v: %s", strings.Join(words, " "), err, output)
	}
	return nil
}

// send sends the bodies m-FROM to m-(TO-1), with a tag and a key.
func (c *cluster) send(topic string, from, to int) error {
	for i := from; i < to; i++ {
		message := primitive.NewMessage(topic, fmt.Appendf(nil, "m-%d", i)).WithTag("tag").WithKeys([]string{fmt.Sprintf("key-%d", i)})
		result, err := c.producer.SendSync(context.Background(), message)
		if err != nil {
			return err
		}
		if err := expect(primitive.SendOK, result.Status, "status"); err != nil {
			return err
		}
	}
	return nil
}

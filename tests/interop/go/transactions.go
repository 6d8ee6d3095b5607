package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// A broker asks every half minute about transactions that are older than six seconds.
const checkLimit = 150 * time.Second

// The client looks every 20 s whether it has locked its new queues, and a lock that nobody gives back lives for 60 s.
const orderLimit = 120 * time.Second

func transactionCases() []testCase {
	return []testCase{
		{"transactions commit, roll back, and are asked about", checkLimit, transactions},
		{"order is kept while members come and go", 3 * orderLimit, ordered},
	}
}

// decider does what the bodies say: their first word at once, their last when it is asked.
type decider struct {
	mutex  sync.Mutex
	checks map[string]int
}

func (d *decider) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	switch word, _, _ := strings.Cut(string(message.Body), "-"); word {
	case "commit":
		return primitive.CommitMessageState
	case "rollback":
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func (d *decider) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.checks[string(message.Body)]++
	if strings.HasSuffix(string(message.Body), "yes") {
		return primitive.CommitMessageState
	}
	return primitive.RollbackMessageState
}

func (d *decider) asked(body string) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.checks[body] > 0
}

func transactions(c *cluster) error {
	topic, err := c.newTopic("transactions", 1)
	if err != nil {
		return err
	}
	listener := &decider{checks: map[string]int{}}
	transactional, err := rocketmq.NewTransactionProducer(listener,
		producer.WithNameServer(primitive.NamesrvAddr{c.namesrv}),
		producer.WithGroupName(c.name("transactional")),
		producer.WithInstanceName(c.name("instance")),
		producer.WithSendMsgTimeout(10*time.Second))
	if err != nil {
		return err
	}
	if err := transactional.Start(); err != nil {
		return err
	}
	defer transactional.Shutdown()
	for _, body := range []string{"commit-1", "rollback-1", "unknown-yes", "unknown-no"} {
		if _, err := transactional.SendMessageInTransaction(context.Background(), primitive.NewMessage(topic, []byte(body))); err != nil {
			return err
		}
	}
	received := newInbox()
	reader, err := received.start(c, "one", c.name("transactions"), topic, "*")
	if err != nil {
		return err
	}
	defer reader.Shutdown()
	err = await(100*time.Second, "questions about both", func() (bool, error) {
		return listener.asked("unknown-yes") && listener.asked("unknown-no"), nil
	})
	if err != nil {
		return err
	}
	if err := received.await(2); err != nil {
		return err
	}
	return all(received.expectOnce(2), expect(1, received.bodies["commit-1"], "commit-1"), expect(1, received.bodies["unknown-yes"], "unknown-yes"))
}

// ledger is what an orderly group has consumed, queue by queue.
type ledger struct {
	mutex  sync.Mutex
	queues map[int][]int
}

func (l *ledger) start(c *cluster, group, topic string) (rocketmq.PushConsumer, error) {
	made, err := rocketmq.NewPushConsumer(append(c.consumerOptions(group), consumer.WithConsumerOrder(true))...)
	if err != nil {
		return nil, err
	}
	err = made.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"},
		func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			l.mutex.Lock()
			defer l.mutex.Unlock()
			for _, message := range messages {
				number, _ := strconv.Atoi(strings.TrimPrefix(string(message.Body), "m-"))
				l.queues[message.Queue.QueueId] = append(l.queues[message.Queue.QueueId], number)
			}
			return consumer.ConsumeSuccess, nil
		})
	if err != nil {
		return nil, err
	}
	return made, made.Start()
}

func (l *ledger) seen() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	seen := map[int]bool{}
	for _, numbers := range l.queues {
		for _, number := range numbers {
			seen[number] = true
		}
	}
	return len(seen)
}

// expectOrder checks that nothing of a queue was passed over; its next owner may begin a little before the last one's end.
func (l *ledger) expectOrder() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for queue, numbers := range l.queues {
		highest := -1
		known := map[int]bool{}
		for _, number := range numbers {
			if number < highest && !known[number] {
				return fmt.Errorf("queue %d: %d came after %d in %v", queue, number, highest, numbers)
			}
			known[number] = true
			if number > highest {
				highest = number
			}
		}
	}
	return nil
}

func ordered(c *cluster) error {
	topic, err := c.newTopic("ordered", 2)
	if err != nil {
		return err
	}
	group := c.name("ordered")
	book := &ledger{queues: map[int][]int{}}
	stays, err := book.start(c, group, topic)
	if err != nil {
		return err
	}
	defer stays.Shutdown()
	for batch := 0; batch < 3; batch++ {
		var comes rocketmq.PushConsumer
		if batch == 1 {
			if comes, err = book.start(c, group, topic); err != nil {
				return err
			}
		}
		if err := c.send(topic, batch*100, batch*100+100); err != nil {
			return err
		}
		wanted := batch*100 + 100
		if err := await(orderLimit, fmt.Sprintf("%d messages", wanted), func() (bool, error) { return book.seen() == wanted, nil }); err != nil {
			return err
		}
		if comes != nil {
			if err := comes.Shutdown(); err != nil {
				return err
			}
		}
	}
	return book.expectOrder()
}

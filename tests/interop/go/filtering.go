package main

import (
	"context"
	"fmt"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func filteringCases() []testCase {
	return []testCase{
		{"push by sql", caseLimit, pushBySQL},
		{"a wrong sql expression is refused, and put right", caseLimit, wrongSQL},
	}
}

// customFilterCases are for a broker that has the filter GEO of examples/geo_filter.rs.
func customFilterCases() []testCase {
	return []testCase{
		{"push by a custom filter as its expression type", caseLimit, pushByType},
		{"push by a custom filter in its sql form", caseLimit, pushByForm},
	}
}

// chosen sends the messages and checks that a push consumer with the selector gets the wanted ones and no others.
func chosen(c *cluster, name string, messages []*primitive.Message, selector consumer.MessageSelector, wanted ...string) error {
	topic, err := c.newTopic(name, 2)
	if err != nil {
		return err
	}
	for _, message := range messages {
		message.Topic = topic
		if _, err := c.producer.SendSync(context.Background(), message); err != nil {
			return err
		}
	}
	received := newInbox()
	reader, err := received.startChoosing(c, "reader", c.name(name), topic, selector)
	if err != nil {
		return err
	}
	defer reader.Shutdown()
	if err := received.await(len(wanted)); err != nil {
		return err
	}
	for _, body := range wanted {
		if received.bodies[body] == 0 {
			return fmt.Errorf("%s did not come, but %v", body, received.bodies)
		}
	}
	return expect(len(wanted), received.size(), "bodies received")
}

func pushBySQL(c *cluster) error {
	var messages []*primitive.Message
	for n := 0; n < 12; n++ {
		message := primitive.NewMessage("", []byte(fmt.Sprintf("m-%d", n)))
		message.WithProperty("n", fmt.Sprint(n))
		messages = append(messages, message)
	}
	selector := consumer.MessageSelector{Type: consumer.SQL92, Expression: "n BETWEEN 3 AND 5 OR n = 11"}
	return chosen(c, "gosql", messages, selector, "m-3", "m-4", "m-5", "m-11")
}

// wrongSQL: the client hears of it at each pull only, and writes that into its log.
func wrongSQL(c *cluster) error {
	topic, err := c.newTopic("wrong", 1)
	if err != nil {
		return err
	}
	if err := c.send(topic, 0, 3); err != nil {
		return err
	}
	group := c.name("wrong")
	received := newInbox()
	warnings.forget()
	wrong, err := received.startChoosing(c, "wrong", group, topic, consumer.MessageSelector{Type: consumer.SQL92, Expression: "n BETWEEN 3 AND OR"})
	if err != nil {
		return err
	}
	// FILTER_DATA_NOT_EXIST
	err = await(waitLimit, "a refusal", func() (bool, error) { return warnings.has("unknown Response Code: 27, remark: "), nil })
	if err = all(err, wrong.Shutdown(), expect(0, received.size(), "bodies received")); err != nil {
		return err
	}
	right, err := received.startChoosing(c, "right", group, topic, consumer.MessageSelector{Type: consumer.SQL92, Expression: "n IS NULL"})
	if err != nil {
		return err
	}
	defer right.Shutdown()
	if err := received.await(3); err != nil {
		return err
	}
	return received.expectOnce(3)
}

func places() []*primitive.Message {
	var messages []*primitive.Message
	for _, place := range [][3]string{{"Alexanderplatz", "52.522", "13.413"}, {"Potsdam", "52.391", "13.065"}, {"Hamburg", "53.551", "9.994"}} {
		message := primitive.NewMessage("", []byte(place[0]))
		message.WithProperty("lat", place[1])
		message.WithProperty("lon", place[2])
		messages = append(messages, message)
	}
	return messages
}

func pushByType(c *cluster) error {
	selector := consumer.MessageSelector{Type: "GEO", Expression: "52.52 13.40 10"}
	return chosen(c, "gogeo", places(), selector, "Alexanderplatz")
}

func pushByForm(c *cluster) error {
	selector := consumer.MessageSelector{Type: consumer.SQL92, Expression: "FILTER('GEO', '52.52 13.40 50')"}
	return chosen(c, "gogeo", places(), selector, "Alexanderplatz", "Potsdam")
}

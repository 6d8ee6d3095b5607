// Command interop runs cases with RocketMQ's Go client against the servers of a cluster directory.
//
// Arguments: suite, cluster directory, server program, flavour, a part of the names of the cases wanted (may be empty).
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// A case fails by an error or by taking longer than its limit.
type testCase struct {
	name  string
	limit time.Duration
	run   func(*cluster) error
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: interop SUITE CLUSTER SERVER FLAVOUR ONLY")
		os.Exit(2)
	}
	suite, only := os.Args[1], os.Args[5]
	rlog.SetLogger(&warnings)
	servers, err := openCluster(os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Printf("FAIL %s: opening the cluster: %v\n", suite, err)
		os.Exit(1)
	}
	failed := false
	cases := slices.Concat(sendingCases(), consumingCases(), filteringCases(), retryingCases(),
		requestingCases(), administeringCases(), transactionCases(), restartCases())
	if suite == "custom-filter" {
		cases = customFilterCases()
	}
	for _, each := range cases {
		if !strings.Contains(each.name, only) {
			continue
		}
		start := time.Now()
		err := within(each.limit, func() error { return each.run(servers) })
		verdict := "PASS"
		if err != nil {
			verdict, failed = "FAIL", true
		}
		fmt.Printf("%s %s: %s (%.1f s)\n", verdict, suite, each.name, time.Since(start).Seconds())
		if err != nil {
			fmt.Printf("    %v\n", err)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// within runs a function and gives up on it after the limit.
func within(limit time.Duration, run func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("panic: %v", cause)
			}
		}()
		done <- run()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("still running after %v", limit)
	}
}

// await polls a condition; a condition that errs counts as not yet.
func await(limit time.Duration, what string, holds func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := holds()
		if ok && err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s (last error: %v)", limit, what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// expect is the assertion of all cases.
func expect[T comparable](wanted, seen T, what string) error {
	if wanted != seen {
		return fmt.Errorf("%s: expected %v, saw %v", what, wanted, seen)
	}
	return nil
}

// all is the first error of several assertions.
func all(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Exchange rates in Go, counted in Redis: flags for its addresses, a file of a ConfigMap for its rates.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
)

var lookups, misses atomic.Int64

type cache struct {
	address string
	lock    sync.Mutex
	open    net.Conn
}

// count adds one to a key in Redis's own words, over the one connection.
func (c *cache) count(key string) (n int64, err error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.open == nil {
		if c.open, err = net.Dial("tcp", c.address); err != nil {
			c.open = nil
			return 0, err
		}
	}
	fmt.Fprintf(c.open, "*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key), key)
	if _, err = fmt.Fscanf(bufio.NewReader(c.open), ":%d\r\n", &n); err != nil {
		c.open.Close()
		c.open = nil
	}
	return n, err
}

// status of the n-th lookup.
func status(n int64) int {
	return http.StatusOK
}

func main() {
	config := flag.String("config", "", "the file with the rates")
	listen := flag.String("listen", ":8080", "the address for requests")
	metrics := flag.String("metrics", ":9102", "the address for metrics")
	flag.Parse()
	rates := map[string]float64{}
	text, err := os.ReadFile(*config)
	if err == nil {
		err = json.Unmarshal(text, &rates)
	}
	if err != nil {
		log.Fatalf("rates: %v", err)
	}
	at, err := url.Parse(os.Getenv("REDIS_URL"))
	if err != nil || at.Scheme != "redis" {
		log.Fatal("REDIS_URL is not that of a Redis")
	}
	asked := cache{address: at.Host}
	http.HandleFunc("GET /rates/{pair}", func(answer http.ResponseWriter, request *http.Request) {
		lookups.Add(1)
		rate, known := rates[request.PathValue("pair")]
		if !known {
			misses.Add(1)
			http.Error(answer, "no such pair", http.StatusNotFound)
			return
		}
		n, err := asked.count(request.PathValue("pair"))
		if err != nil {
			http.Error(answer, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer.WriteHeader(status(n))
		fmt.Fprintf(answer, "{\"rate\": %g, \"asked\": %d}\n", rate, n)
	})
	http.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	numbers := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(answer, "# TYPE rates_lookups_total counter\nrates_lookups_total %d\n", lookups.Load())
		fmt.Fprintf(answer, "# TYPE rates_misses_total counter\nrates_misses_total %d\n", misses.Load())
	})
	go func() { log.Fatal(http.ListenAndServe(*metrics, numbers)) }()
	log.Fatal(http.ListenAndServe(*listen, nil))
}

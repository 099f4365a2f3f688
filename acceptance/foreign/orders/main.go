// Orders in Go: an API on one port, client_golang's metrics on another, settings from a file.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type settings struct {
	Currency string `json:"currency"`
}

var requests = promauto.NewCounterVec(
	prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests by status."},
	[]string{"code", "method"},
)

func read(path string) (found settings) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	if err != nil {
		log.Fatalf("settings: %v", err)
	}
	return found
}

// status of the n-th order.
func status(n int64) int {
	return http.StatusOK
}

func main() {
	chosen := read(os.Getenv("ORDERS_SETTINGS"))
	var asked atomic.Int64
	orders := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1)
		answer.WriteHeader(status(n))
		fmt.Fprintf(answer, "{\"order\": %d, \"currency\": %q}\n", n, chosen.Currency)
	})
	api := http.NewServeMux()
	api.Handle("GET /orders", promhttp.InstrumentHandlerCounter(requests, orders))
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", promhttp.Handler())
	metrics.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	go func() { log.Fatal(http.ListenAndServe(os.Getenv("METRICS_ADDRESS"), metrics)) }()
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN_ADDRESS"), api))
}

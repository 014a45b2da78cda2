// SPDX-License-Identifier: MIT

// A hit as net/http/fcgi and redigo serve it.
package main

import (
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"strconv"

	"github.com/gomodule/redigo/redis"
)

func main() {
	pool := &redis.Pool{MaxIdle: 64, Dial: func() (redis.Conn, error) {
		return redis.Dial("unix", os.Getenv("REDIS_SOCKET"))
	}}
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	os.Chmod(os.Args[1], 0666)
	log.Fatal(fcgi.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := pool.Get()
		defer c.Close()
		body, err := redis.Bytes(c.Do("GET", "bench:"+r.URL.Query().Get("gateway")))
		if err != nil {
			http.Error(w, "not found", 404)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})))
}

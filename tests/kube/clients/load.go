package main

// What `tests/kube/measure` runs: each prints one JSON object.
//
//	informer load KUBECONFIG NAMESPACE pods COUNT          pods that never run
//	informer load KUBECONFIG NAMESPACE get SECONDS STREAMS
//	informer load KUBECONFIG NAMESPACE list TIMES
//	informer load KUBECONFIG NAMESPACE watch COUNT SECONDS EVENTS_PER_SECOND
//	informer load KUBECONFIG NAMESPACE exec TIMES
//	informer load KUBECONFIG NAMESPACE forward PORT MIB CONNECTIONS

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

func load(config *rest.Config, client kubernetes.Interface, space string, args []string) {
	number := func(at int) int {
		value, err := strconv.Atoi(args[at])
		check(err)
		return value
	}
	var told map[string]any
	switch args[0] {
	case "pods":
		told = loadPods(client, space, number(1))
	case "get":
		told = loadGet(client, space, time.Duration(number(1))*time.Second, number(2))
	case "list":
		told = loadList(client, space, number(1))
	case "watch":
		told = loadWatch(client, space, number(1), time.Duration(number(2))*time.Second, number(3))
	case "exec":
		told = loadExec(config, client, space, number(1))
	case "forward":
		told = loadForward(config, client, space, args[1], int64(number(2))<<20, number(3))
	default:
		check(fmt.Errorf("no load is named %s", args[0]))
	}
	check(json.NewEncoder(os.Stdout).Encode(told))
}

// spread has workers do a number of things each once.
func spread(workers, count int, do func(index int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				index := int(next.Add(1)) - 1
				if index >= count {
					return
				}
				do(index)
			}
		}()
	}
	group.Wait()
}

func loadPods(client kubernetes.Interface, space string, count int) map[string]any {
	start := time.Now()
	spread(32, count, func(index int) {
		pod := &core.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name:   fmt.Sprintf("gated-%05d", index),
				Labels: map[string]string{"app": "load", "shard": strconv.Itoa(index % 16)},
			},
			Spec: core.PodSpec{
				// A gate that nobody opens.
				SchedulingGates: []core.PodSchedulingGate{{Name: "weir.dev/never"}},
				Containers: []core.Container{{
					Name: "c", Image: "registry.example/some/image:v1.2.3",
					Command: []string{"/bin/server", "--listen", "0.0.0.0:8080"},
					Env: []core.EnvVar{
						{Name: "MODE", Value: "production"}, {Name: "DATABASE", Value: "postgres://db/orders"},
						{Name: "TOKEN", Value: fmt.Sprintf("value-%d", index)},
					},
				}},
			},
		}
		_, err := client.CoreV1().Pods(space).Create(background, pod, metav1.CreateOptions{})
		check(err)
	})
	return map[string]any{"pods": count, "seconds": time.Since(start).Seconds()}
}

type times struct {
	lock sync.Mutex
	all  []time.Duration
}

func (t *times) add(one time.Duration) {
	t.lock.Lock()
	t.all = append(t.all, one)
	t.lock.Unlock()
}

// at is a quantile in microseconds.
func (t *times) at(part float64) int64 {
	if len(t.all) == 0 {
		return 0
	}
	slices.Sort(t.all)
	return t.all[min(int(part*float64(len(t.all))), len(t.all)-1)].Microseconds()
}

func loadGet(
	client kubernetes.Interface, space string, long time.Duration, streams int,
) map[string]any {
	var spent times
	end := time.Now().Add(long)
	spread(streams, streams, func(int) {
		for time.Now().Before(end) {
			start := time.Now()
			_, err := client.CoreV1().RESTClient().Get().Namespace(space).Resource("pods").Name("web").
				SetHeader("Accept", "application/json").DoRaw(background)
			check(err)
			spent.add(time.Since(start))
		}
	})
	return map[string]any{"count": len(spent.all), "p50_us": spent.at(0.5), "p99_us": spent.at(0.99)}
}

func loadList(client kubernetes.Interface, space string, count int) map[string]any {
	var first, all times
	var size int64
	for range count {
		start := time.Now()
		body, err := client.CoreV1().RESTClient().Get().Namespace(space).Resource("pods").
			SetHeader("Accept", "application/json").SetHeader("Accept-Encoding", "identity").Stream(background)
		check(err)
		one := make([]byte, 1)
		_, err = io.ReadFull(body, one)
		check(err)
		first.add(time.Since(start))
		size, err = io.Copy(io.Discard, body)
		check(err)
		body.Close()
		all.add(time.Since(start))
	}
	return map[string]any{"count": count, "bytes": size + 1, "first_us": first.at(0.5), "p50_us": all.at(0.5)}
}

// loadWatch opens watches of one object, lets them be idle, then changes it. Lines on stdin say
// when to go on: whoever measures reads the memory in between.
func loadWatch(
	client kubernetes.Interface, space string, count int, long time.Duration, rate int,
) map[string]any {
	maps := client.CoreV1().ConfigMaps(space)
	made, err := maps.Create(background, named("load", "0"), metav1.CreateOptions{})
	check(err)
	defer maps.Delete(background, "load", metav1.DeleteOptions{})
	var late times
	var opened atomic.Int64
	ctx, cancel := context.WithCancel(background)
	var group sync.WaitGroup
	options := metav1.ListOptions{FieldSelector: "metadata.name=load", ResourceVersion: made.ResourceVersion}
	for range count {
		group.Add(1)
		go func() {
			defer group.Done()
			watch, err := maps.Watch(ctx, options)
			check(err)
			opened.Add(1)
			for event := range watch.ResultChan() {
				if it, ok := event.Object.(*core.ConfigMap); ok && it.Data["a"] != "0" {
					sent, err := strconv.ParseInt(it.Data["a"], 10, 64)
					check(err)
					late.add(time.Since(time.Unix(0, sent)))
				}
			}
		}()
	}
	for opened.Load() < int64(count) {
		time.Sleep(10 * time.Millisecond)
	}
	wait := func(what string) {
		fmt.Println(what)
		fmt.Scanln()
	}
	wait("open")
	ticks := time.NewTicker(time.Second / time.Duration(rate))
	events := 0
	for end := time.Now().Add(long); time.Now().Before(end); events++ {
		<-ticks.C
		patch := fmt.Sprintf(`{"data":{"a":"%d"}}`, time.Now().UnixNano())
		_, err := maps.Patch(background, "load", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		check(err)
	}
	time.Sleep(time.Second)
	wait("sent")
	cancel()
	group.Wait()
	return map[string]any{"watches": count, "events": events, "heard": len(late.all),
		"p50_us": late.at(0.5), "p99_us": late.at(0.99)}
}

func loadExec(
	config *rest.Config, client kubernetes.Interface, space string, count int,
) map[string]any {
	var spent times
	options := &core.PodExecOptions{Command: []string{"true"}, Stdout: true, Stderr: true}
	request := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(space).Name("web").
		SubResource("exec").VersionedParams(options, scheme.ParameterCodec)
	for range count {
		start := time.Now()
		executor, err := remotecommand.NewWebSocketExecutor(config, "GET", request.URL().String())
		check(err)
		streams := remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}
		check(executor.StreamWithContext(background, streams))
		spent.add(time.Since(start))
	}
	return map[string]any{"count": count, "p50_us": spent.at(0.5), "p99_us": spent.at(0.99)}
}

// loadForward reads bytes from a server behind the pod that sends without end.
func loadForward(
	config *rest.Config, client kubernetes.Interface, space, port string,
	size int64, connections int,
) map[string]any {
	address, stop, _ := forwarded(config, client, space, port)
	start := time.Now()
	spread(connections, connections, func(int) {
		conn, err := net.Dial("tcp", address)
		check(err)
		defer conn.Close()
		_, err = io.CopyN(io.Discard, conn, size/int64(connections))
		check(err)
	})
	spent := time.Since(start).Seconds()
	close(stop)
	return map[string]any{"bytes": size, "seconds": spent, "mib_per_s": float64(size>>20) / spent}
}

// informer is what client-go sees of a cluster, one line each: the same through weir.
//
//	informer all KUBECONFIG NAMESPACE PORT    every kind of request, in one order
//	informer watch KUBECONFIG NAMESPACE       events of ConfigMaps until stdin ends
//	informer load KUBECONFIG NAMESPACE ...    load, see load.go
//
// NAMESPACE has a running pod `web`; behind PORT of the node somebody says `hello from the pod`.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
)

var background = context.Background()

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "informer all|watch|load KUBECONFIG NAMESPACE [PORT]")
		os.Exit(2)
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[2])
	check(err)
	config.QPS, config.Burst = 1000, 1000
	client, err := kubernetes.NewForConfig(config)
	check(err)
	space := os.Args[3]
	switch os.Args[1] {
	case "watch":
		follow(client, space)
		return
	case "load":
		load(config, client, space, os.Args[4:])
		return
	}
	objects(client, space)
	many(client, space)
	others(config, space)
	watched(client, space)
	leader(client, space)
	commands(config, client, space)
	forward(config, client, space, os.Args[4])
	check(client.CoreV1().ConfigMaps(space).DeleteCollection(background, metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: "made=go"}))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "informer:", err)
		os.Exit(1)
	}
}

func say(facts ...any) { fmt.Println(facts...) }

func named(name, value string) *core.ConfigMap {
	return &core.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"made": "go"}},
		Data:       map[string]string{"a": value},
	}
}

// objects are written and read as protobuf, which typed clients speak.
func objects(client kubernetes.Interface, space string) {
	maps := client.CoreV1().ConfigMaps(space)
	for _, name := range []string{"go-0", "go-1", "go-2"} {
		_, err := maps.Create(background, named(name, name), metav1.CreateOptions{})
		check(err)
	}
	list, err := maps.List(background, metav1.ListOptions{LabelSelector: "made=go"})
	check(err)
	say("listed", names(list.Items))
	changed, err := maps.Patch(background, "go-0", types.MergePatchType, []byte(`{"data":{"b":"c"}}`),
		metav1.PatchOptions{})
	check(err)
	say("patched", changed.Data)
	_, err = maps.Get(background, "nothing", metav1.GetOptions{})
	say("missing", apierrors.IsNotFound(err), err)
	_, err = maps.Create(background, named("go-0", ""), metav1.CreateOptions{})
	say("again", apierrors.IsAlreadyExists(err), err)
	_, err = maps.Create(background, named("Bad_Name", ""), metav1.CreateOptions{})
	say("invalid", apierrors.IsInvalid(err), err)
	stale := list.Items[0].DeepCopy()
	_, err = maps.Update(background, stale, metav1.UpdateOptions{})
	say("stale", apierrors.IsConflict(err))
	log, err := client.CoreV1().Pods(space).GetLogs("web", &core.PodLogOptions{}).DoRaw(background)
	check(err)
	say("log", string(log))
}

func names(items []core.ConfigMap) []string {
	var all []string
	for _, item := range items {
		all = append(all, item.Name)
	}
	sort.Strings(all)
	return all
}

// many requests of one connection: an apiserver that says GOAWAY now and then loses none.
func many(client kubernetes.Interface, space string) {
	var group sync.WaitGroup
	var lock sync.Mutex
	good := 0
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for range 50 {
				_, err := client.CoreV1().ConfigMaps(space).Get(background, "go-0", metav1.GetOptions{})
				lock.Lock()
				if err == nil {
					good++
				} else {
					say("many", err)
				}
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	say("many", good)
}

// others are clients that know no types, and ones that want metadata alone.
func others(config *rest.Config, space string) {
	resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	loose, err := dynamic.NewForConfig(config)
	check(err)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "go-dynamic"},
		"data": map[string]any{"a": "loose"},
	}}
	made, err := loose.Resource(resource).Namespace(space).Apply(background, "go-dynamic", object,
		metav1.ApplyOptions{FieldManager: "informer"})
	check(err)
	data, _, _ := unstructured.NestedStringMap(made.Object, "data")
	say("applied", made.GetName(), data)
	check(loose.Resource(resource).Namespace(space).Delete(background, "go-dynamic", metav1.DeleteOptions{}))
	heads, err := metadata.NewForConfig(config)
	check(err)
	ours := metav1.ListOptions{LabelSelector: "made=go"}
	list, err := heads.Resource(resource).Namespace(space).List(background, ours)
	check(err)
	say("metadata", len(list.Items), list.Items[0].Kind)
}

// events of ConfigMaps, told as they come.
func events(
	client kubernetes.Interface, space string, tell func(verb, name, value string),
) (cache.SharedIndexInformer, chan struct{}) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(space),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = "made=go" }))
	informer := factory.Core().V1().ConfigMaps().Informer()
	told := func(verb string, object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if it, ok := object.(*core.ConfigMap); ok {
			tell(verb, it.Name, it.Data["a"])
		}
	}
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(it any) { told("add", it) },
		UpdateFunc: func(_, it any) { told("update", it) },
		DeleteFunc: func(it any) { told("delete", it) },
	})
	stop := make(chan struct{})
	factory.Start(stop)
	if !cache.WaitForCacheSync(stop, informer.HasSynced) {
		check(errors.New("the informer does not sync"))
	}
	return informer, stop
}

func watched(client kubernetes.Interface, space string) {
	seen := make(chan string, 100)
	_, stop := events(client, space, func(verb, name, value string) {
		seen <- verb + " " + name + " " + value
	})
	defer close(stop)
	until := func(count int) {
		var all []string
		for range count {
			select {
			case event := <-seen:
				all = append(all, event)
			case <-time.After(20 * time.Second):
				check(errors.New("an event is missing"))
			}
		}
		sort.Strings(all)
		say("informer", strings.Join(all, ", "))
	}
	until(3)
	maps := client.CoreV1().ConfigMaps(space)
	_, err := maps.Create(background, named("go-new", "new"), metav1.CreateOptions{})
	check(err)
	until(1)
	_, err = maps.Update(background, named("go-new", "other"), metav1.UpdateOptions{})
	check(err)
	until(1)
	check(maps.Delete(background, "go-new", metav1.DeleteOptions{}))
	until(1)
}

// follow tells events until nobody listens any more, over whatever ends in between.
func follow(client kubernetes.Interface, space string) {
	_, stop := events(client, space, func(verb, name, value string) { say(verb, name, value) })
	io.Copy(io.Discard, os.Stdin)
	close(stop)
}

func leader(client kubernetes.Interface, space string) {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: "go-lease", Namespace: space},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: "one"},
	}
	ctx, cancel := context.WithCancel(background)
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, ReleaseOnCancel: true,
		LeaseDuration: 4 * time.Second, RenewDeadline: 3 * time.Second,
		RetryPeriod: 500 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				say("leads")
				time.Sleep(1500 * time.Millisecond)
				lease, err := client.CoordinationV1().Leases(space).Get(background, "go-lease", metav1.GetOptions{})
				check(err)
				say("holder", *lease.Spec.HolderIdentity)
				cancel()
			},
			OnStoppedLeading: func() { say("leads no more") },
		},
	})
	check(client.CoordinationV1().Leases(space).Delete(background, "go-lease", metav1.DeleteOptions{}))
}

func commands(config *rest.Config, client kubernetes.Interface, space string) {
	run := func(form string, command []string, stdin string) {
		options := &core.PodExecOptions{Command: command, Stdin: true, Stdout: true, Stderr: true}
		request := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(space).Name("web").
			SubResource("exec").VersionedParams(options, scheme.ParameterCodec)
		var executor remotecommand.Executor
		var err error
		if form == "websocket" {
			executor, err = remotecommand.NewWebSocketExecutor(config, "GET", request.URL().String())
		} else {
			executor, err = remotecommand.NewSPDYExecutor(config, "POST", request.URL())
		}
		check(err)
		var stdout, stderr bytes.Buffer
		err = executor.StreamWithContext(background, remotecommand.StreamOptions{
			Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
		})
		text := stdout.String()
		if len(text) > 100 {
			text = fmt.Sprint(len(text), " bytes to ", text[len(text)-7:])
		}
		say("exec", form, text, stderr.String(), err)
	}
	for _, form := range []string{"websocket", "spdy"} {
		run(form, []string{"sh", "-c", "cat; echo wrong >&2; exit 3"}, "typed\n")
		run(form, []string{"sh", "-c", "seq 1 100000"}, "")
		run(form, []string{"wc", "-c"}, strings.Repeat("0123456789\n", 50000))
	}
}

// forwarded listens where the pod's port can be reached, until stop is closed.
func forwarded(
	config *rest.Config, client kubernetes.Interface, space, port string,
) (address string, stop chan struct{}, ended chan error) {
	request := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(space).Name("web").
		SubResource("portforward")
	dialer, err := portforward.NewSPDYOverWebsocketDialer(request.URL(), config)
	check(err)
	stop, ended = make(chan struct{}), make(chan error, 1)
	ready := make(chan struct{})
	forwarder, err := portforward.New(dialer, []string{"0:" + port}, stop, ready, io.Discard, io.Discard)
	check(err)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		check(fmt.Errorf("the forward ended: %w", err))
	}
	ports, err := forwarder.GetPorts()
	check(err)
	return fmt.Sprint("127.0.0.1:", ports[0].Local), stop, ended
}

func forward(config *rest.Config, client kubernetes.Interface, space, port string) {
	address, stop, ended := forwarded(config, client, space, port)
	for range 5 {
		conn, err := net.Dial("tcp", address)
		check(err)
		said := make([]byte, 19)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = io.ReadFull(conn, said)
		check(err)
		conn.Close()
		say("forward", string(said))
	}
	close(stop)
	say("forward ended", <-ended)
}

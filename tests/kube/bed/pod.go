package main

// The life of one pod: its containers are started in order, watched, started again as its policy
// says, and its status is told to the apiserver.

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

type container struct {
	spec     v1.Container
	kind     string // init, main or ephemeral
	target   string // of an ephemeral container
	folder   string
	current  *process
	previous *process
	restarts int32
	failure  string
}

type pod struct {
	kubelet *kubelet
	lock    sync.Mutex
	object  *v1.Pod
	all     []*container
	failed  bool
	ending  bool
	gone    chan struct{}
	reports chan struct{}
}

func newPod(k *kubelet, object *v1.Pod) *pod {
	p := &pod{kubelet: k, object: object, gone: make(chan struct{}), reports: make(chan struct{}, 1)}
	go p.report()
	go p.live()
	return p
}

func (p *pod) folder() string {
	name := p.object.Name + "_" + string(p.object.UID)
	return filepath.Join(p.kubelet.folder, "pods", p.object.Namespace, name)
}

func (p *pod) add(kind string, spec v1.Container, target string) (*container, error) {
	folder := filepath.Join(p.folder(), spec.Name)
	c := &container{spec: spec, kind: kind, target: target, folder: folder}
	if err := os.MkdirAll(c.folder, 0o755); err != nil {
		return nil, err
	}
	p.lock.Lock()
	p.all = append(p.all, c)
	p.lock.Unlock()
	return c, nil
}

func (p *pod) live() {
	for _, spec := range p.object.Spec.InitContainers {
		c, err := p.add("init", spec, "")
		if err != nil {
			klog.ErrorS(err, "init container")
			return
		}
		if spec.RestartPolicy != nil && *spec.RestartPolicy == v1.ContainerRestartPolicyAlways {
			go p.supervise(c, v1.RestartPolicyAlways)
			continue
		}
		policy := v1.RestartPolicyOnFailure
		if p.object.Spec.RestartPolicy == v1.RestartPolicyNever {
			policy = v1.RestartPolicyNever
		}
		if p.supervise(c, policy) != 0 {
			p.lock.Lock()
			p.failed = true
			p.lock.Unlock()
			p.changed()
			return
		}
	}
	for _, spec := range p.object.Spec.Containers {
		c, err := p.add("main", spec, "")
		if err != nil {
			klog.ErrorS(err, "container")
			return
		}
		go p.supervise(c, p.object.Spec.RestartPolicy)
	}
	p.lock.Lock()
	object := p.object
	p.lock.Unlock()
	p.ephemeral(object)
}

// ephemeral starts what `kubectl debug` has added.
func (p *pod) ephemeral(object *v1.Pod) {
	for _, spec := range object.Spec.EphemeralContainers {
		if p.find(spec.Name) != nil {
			continue
		}
		c, err := p.add("ephemeral", v1.Container(spec.EphemeralContainerCommon), spec.TargetContainerName)
		if err == nil {
			go p.supervise(c, v1.RestartPolicyNever)
		}
	}
}

func (p *pod) find(name string) *container {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, c := range p.all {
		if c.spec.Name == name {
			return c
		}
	}
	return nil
}

// process is the running one, or that of an ended container.
func (p *pod) process(name string, previous bool) (*process, error) {
	c := p.find(name)
	if c == nil {
		return nil, fmt.Errorf("container %q not found in pod %q", name, p.object.Name)
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	found := c.current
	if previous {
		found = c.previous
	}
	if found == nil {
		return nil, fmt.Errorf("container %q in pod %q is waiting to start", name, p.object.Name)
	}
	return found, nil
}

// supervise runs a container until its policy says that it is over, and returns its exit code.
func (p *pod) supervise(c *container, policy v1.RestartPolicy) int32 {
	for {
		p.lock.Lock()
		ending := p.ending
		p.lock.Unlock()
		if ending {
			return 0
		}
		code := int32(128)
		running, err := start(p.launch(c))
		p.lock.Lock()
		if err != nil {
			c.failure = err.Error()
		} else {
			c.failure, c.current = "", running
		}
		ending = p.ending
		p.lock.Unlock()
		p.changed()
		if err == nil {
			if ending {
				running.stop(0)
			}
			<-running.done
			code = running.code
		}
		p.changed()
		again := policy == v1.RestartPolicyAlways || policy == v1.RestartPolicyOnFailure && code != 0
		if !again {
			return code
		}
		select {
		case <-p.gone:
			return code
		case <-time.After(time.Second):
		}
		p.lock.Lock()
		if p.ending {
			p.lock.Unlock()
			return code
		}
		c.previous = c.current
		c.restarts++
		p.lock.Unlock()
	}
}

// launch: images do not count. A container without a command waits for its end.
func (p *pod) launch(c *container) launch {
	env := p.kubelet.environment(p.object, c.spec)
	argv := append(append([]string{}, c.spec.Command...), c.spec.Args...)
	if len(argv) == 0 && c.kind == "ephemeral" || len(argv) == 0 && c.spec.TTY {
		argv = []string{"sh"}
	}
	if len(argv) == 0 {
		argv = []string{"sleep", "1000000"}
	}
	for i, word := range argv {
		argv[i] = expand(word, env)
	}
	folder := c.folder
	if c.spec.WorkingDir != "" {
		folder = filepath.Join(folder, c.spec.WorkingDir)
		os.MkdirAll(folder, 0o755)
	}
	return launch{argv: argv, folder: folder, env: env, stdin: c.spec.Stdin, tty: c.spec.TTY}
}

// end stops everything, and takes the pod out of the apiserver.
func (p *pod) end(object *v1.Pod) {
	p.lock.Lock()
	if p.ending {
		p.lock.Unlock()
		return
	}
	p.ending = true
	running := []*process{}
	for _, c := range p.all {
		if c.current != nil {
			running = append(running, c.current)
		}
	}
	p.lock.Unlock()
	go func() {
		grace := 2 * time.Second
		if seconds := object.DeletionGracePeriodSeconds; seconds != nil && *seconds < 2 {
			grace = time.Duration(*seconds) * time.Second
		}
		var all sync.WaitGroup
		for _, process := range running {
			all.Add(1)
			go func() {
				defer all.Done()
				process.stop(grace)
			}()
		}
		all.Wait()
		close(p.gone)
		p.tell()
		zero := int64(0)
		options := metav1.DeleteOptions{
			GracePeriodSeconds: &zero,
			Preconditions:      metav1.NewUIDPreconditions(string(object.UID)),
		}
		pods := p.kubelet.client.CoreV1().Pods(object.Namespace)
		err := pods.Delete(background, object.Name, options)
		if err != nil {
			klog.ErrorS(err, "delete", "pod", klog.KObj(object))
		}
		os.RemoveAll(p.folder())
	}()
}

// kill is for a pod that is no longer there.
func (p *pod) kill() {
	p.lock.Lock()
	defer p.lock.Unlock()
	if !p.ending {
		p.ending = true
		close(p.gone)
	}
	for _, c := range p.all {
		if c.current != nil {
			go c.current.stop(0)
		}
	}
}

func (p *pod) changed() {
	select {
	case p.reports <- struct{}{}:
	default:
	}
}

func (p *pod) report() {
	for {
		select {
		case <-p.gone:
			return
		case <-p.reports:
			p.tell()
		}
	}
}

func (p *pod) tell() {
	status := p.status()
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.object.UID}, "status": status,
	})
	if err == nil {
		_, err = p.kubelet.client.CoreV1().Pods(p.object.Namespace).Patch(background,
			p.object.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err != nil {
		klog.V(2).InfoS("status", "pod", klog.KObj(p.object), "err", err)
	}
}

func (p *pod) status() v1.PodStatus {
	p.lock.Lock()
	defer p.lock.Unlock()
	status := v1.PodStatus{
		HostIP: p.kubelet.address, HostIPs: []v1.HostIP{{IP: p.kubelet.address}},
		PodIP: p.kubelet.address, PodIPs: []v1.PodIP{{IP: p.kubelet.address}},
	}
	started := p.object.CreationTimestamp
	status.StartTime = &started
	running, succeeded, ended, mains := 0, 0, 0, len(p.object.Spec.Containers)
	for _, c := range p.all {
		told := p.containerStatus(c)
		switch c.kind {
		case "init":
			status.InitContainerStatuses = append(status.InitContainerStatuses, told)
		case "ephemeral":
			status.EphemeralContainerStatuses = append(status.EphemeralContainerStatuses, told)
		default:
			status.ContainerStatuses = append(status.ContainerStatuses, told)
			if told.State.Running != nil {
				running++
			}
			if done := told.State.Terminated; done != nil {
				ended++
				if done.ExitCode == 0 {
					succeeded++
				}
			}
		}
	}
	over := p.object.Spec.RestartPolicy != v1.RestartPolicyAlways || p.ending
	status.Phase = v1.PodRunning
	switch {
	case p.failed:
		status.Phase = v1.PodFailed
	case len(status.ContainerStatuses) < mains:
		status.Phase = v1.PodPending
	case over && ended == mains && succeeded == mains:
		status.Phase = v1.PodSucceeded
	case over && ended == mains && p.object.Spec.RestartPolicy == v1.RestartPolicyNever:
		status.Phase = v1.PodFailed
	}
	ready := v1.ConditionFalse
	if running == mains {
		ready = v1.ConditionTrue
	}
	for _, kind := range []v1.PodConditionType{v1.PodReady, v1.ContainersReady} {
		status.Conditions = append(status.Conditions, condition(kind, ready))
	}
	status.Conditions = append(status.Conditions,
		condition(v1.PodInitialized, v1.ConditionTrue), condition(v1.PodScheduled, v1.ConditionTrue))
	return status
}

func condition(kind v1.PodConditionType, status v1.ConditionStatus) v1.PodCondition {
	return v1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.Now()}
}

func (p *pod) containerStatus(c *container) v1.ContainerStatus {
	told := v1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: "bed://" + c.spec.Image,
		ContainerID: "bed://" + string(p.object.UID) + "-" + c.spec.Name, RestartCount: c.restarts,
	}
	started := false
	switch {
	case c.failure != "":
		told.State.Waiting = &v1.ContainerStateWaiting{Reason: "CreateContainerError", Message: c.failure}
	case c.current == nil:
		told.State.Waiting = &v1.ContainerStateWaiting{Reason: "ContainerCreating"}
	default:
		told.State = state(c.current)
		started = told.State.Running != nil
		told.Ready = started || c.kind == "init" && told.State.Terminated.ExitCode == 0
	}
	told.Started = &started
	if c.previous != nil {
		told.LastTerminationState = state(c.previous)
	}
	return told
}

func state(p *process) v1.ContainerState {
	select {
	case <-p.done:
		reason := "Completed"
		if p.code != 0 {
			reason = "Error"
		}
		return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
			ExitCode: p.code, Reason: reason,
			StartedAt: metav1.NewTime(p.started), FinishedAt: metav1.NewTime(p.finished),
		}}
	default:
		return v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.NewTime(p.started)}}
	}
}

'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const find = id => document.getElementById(id);
const make = (tag, parent, text) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
};
let sequence, panels = [], step = 0, playing = true, last = null;
let view = data.view.slice();

// Return coordinates (right, up), as project() in skeleton_animation.py.
function project([x, y, z]) {
  const [a, e] = view.map(angle => angle * Math.PI / 180);
  return [-Math.cos(a) * x + Math.sin(a) * z,
    Math.sin(a) * Math.sin(e) * x + Math.cos(e) * y
    + Math.cos(a) * Math.sin(e) * z];
}

// Return the pixel of a joint in a square canvas, or null if it is missing.
function place(joint, side) {
  if (!joint) return null;
  const [right, up] = project(joint);
  const scale = data.fill * side / 2000;
  return [side / 2 + scale * right, side / 2 - scale * up];
}

function drawPanel({canvas, counter, frames, radii}) {
  const total = frames.length;
  const now = Math.floor(step * total / sequence.steps);
  counter.textContent = `frame ${total ? now + 1 : 0}/${total}`;
  const side = Math.round(
    canvas.clientWidth * (window.devicePixelRatio || 1));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, side, side);
  context.lineWidth = data.bone * side;
  context.lineCap = 'round';
  const persons = (total ? frames[now] : []).map((person, index) => ({
    colors: data.colors[index % data.colors.length],
    radii: radii[index],
    pixels: person.map(joint => place(joint, side))
  }));
  persons.forEach(({colors, pixels}) => {
    data.edges.forEach(([i, j], bone) => {
      if (!pixels[i] || !pixels[j]) return;
      context.strokeStyle = colors[data.bone_sides[bone]];
      context.beginPath();
      context.moveTo(...pixels[i]);
      context.lineTo(...pixels[j]);
      context.stroke();
    });
  });
  persons.forEach(({colors, pixels, radii}) => {
    pixels.forEach((pixel, joint) => {
      if (!pixel) return;
      context.fillStyle = colors[data.joint_sides[joint]];
      context.beginPath();
      context.arc(...pixel, radii[joint] * data.joint * side, 0, 2 * Math.PI);
      context.fill();
    });
  });
}

function draw() {
  find('scrub').value = step;
  panels.forEach(drawPanel);
  sequence.timeline.forEach(([start, end, text], index) => {
    const current = start <= step && step < end;
    find('timeline').children[index].setAttribute('aria-current', current);
    if (current) find('now').textContent = text;
  });
}

function isDark(color) {
  const [red, green, blue] = color.match(/[0-9a-f]{2}/g).map(
    text => parseInt(text, 16));
  return 0.3 * red + 0.59 * green + 0.11 * blue < 140;
}

function drawTimeline() {
  find('timeline').textContent = '';
  find('now').textContent = '';
  find('timeline').hidden = !sequence.timeline.length;
  // if heights differ, the timeline is a bar chart without labels
  const low = sequence.timeline.some(([, , , , height]) => height < 1);
  find('timeline').className = low ? 'bars' : '';
  find('timeline').style.gap = sequence.timeline.length < 200 ? '1px' : 0;
  sequence.timeline.forEach(([start, end, text, color, height]) => {
    const band = make('div', find('timeline'), low ? '' : text);
    band.style.flex = `${end - start} 1 0`;
    band.style.height = `${100 * height}%`;
    band.style.background = color;
    band.style.color = isDark(color) ? '#fff' : '#1a202c';
    band.title = `${text}, frames ${start + 1} to ${end}`;
    band.onclick = () => goTo(start);
  });
  drawLegend('classes', low ? [] : Array.from(new Map(
    sequence.timeline.map(([, , text, color]) => [text, color]))));
}

function drawLegend(id, entries) {
  find(id).textContent = '';
  entries.forEach(([text, color]) => {
    const item = make('span', find(id));
    make('i', item).style.background = color;
    item.append(text);
  });
}

function turn(canvas) {
  canvas.className = 'turns';
  let from = null;
  canvas.onpointerdown = event => {
    from = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  };
  canvas.onpointermove = event => {
    if (!from) return;
    view[0] -= (event.clientX - from[0]) / 2;
    view[1] += (event.clientY - from[1]) / 2;
    view[1] = Math.max(-90, Math.min(90, view[1]));
    from = [event.clientX, event.clientY];
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = () => { from = null; };
  canvas.ondblclick = () => { view = data.view.slice(); draw(); };
}

function open(index) {
  sequence = data.sequences[index];
  step = 0;
  find('title').textContent = sequence.name;
  make('span', find('title'), sequence.class_name);
  find('note').textContent = sequence.note;
  find('scrub').max = sequence.steps - 1;
  find('panels').textContent = '';
  panels = sequence.panels.map(({caption, frames, radii}) => {
    const figure = make('figure', find('panels'));
    const line = make('figcaption', figure);
    make('b', line, caption);
    const counter = make('span', line);
    const canvas = make('canvas', figure);
    if (data.turns) turn(canvas);
    return {canvas, counter, frames, radii};
  });
  Array.from(find('list').children).forEach((button, other) =>
    button.setAttribute('aria-current', String(other === index)));
  drawLegend('legend', sequence.legend);
  drawTimeline();
  draw();
}

function setPlaying(value) {
  playing = value;
  find('play').textContent = playing ? 'Pause' : 'Play';
}

// Pause at a step.
function goTo(value) {
  setPlaying(false);
  step = Math.max(0, Math.min(sequence.steps - 1, value));
  draw();
}

function tick(time) {
  const frame = data.time / Number(find('speed').value);  // milliseconds
  const due = last === null ? 0 : Math.floor((time - last) / frame);
  if (last === null || !playing) {
    last = time;
  } else if (due) {
    last += due * frame;
    step = (step + due) % sequence.steps;
    draw();
  }
  requestAnimationFrame(tick);
}

data.sequences.forEach(({name, class_name}, index) => {
  const button = make('button', find('list'), name);
  make('small', button, class_name);
  button.onclick = () => open(index);
});
document.onmousedown = event => {  // the keys move frames after a click
  if (!event.target.closest('button')) return;
  event.preventDefault();
  document.activeElement.blur();
  window.focus();
};
find('play').onclick = () => setPlaying(!playing);
find('back').onclick = () => goTo(step - 1);
find('next').onclick = () => goTo(step + 1);
find('scrub').oninput = event => goTo(Number(event.target.value));
document.onkeydown = event => {
  if (event.key === ' '
      && !['BUTTON', 'SELECT'].includes(event.target.tagName)) {
    event.preventDefault();
    setPlaying(!playing);
  }
  const move = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (move && !['INPUT', 'SELECT'].includes(event.target.tagName)) {
    goTo(step + move);
  }
};
window.onresize = draw;
find('help').textContent = 'Press Space to play or pause, and the '
  + 'left and right arrow keys to move by one frame.' + (data.turns
  ? ' Drag a skeleton to turn it; double-click to restore the view.' : '');
open(0);
requestAnimationFrame(tick);

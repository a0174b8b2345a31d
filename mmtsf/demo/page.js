// Draws what the server sends as JSON: names as bars, the timeline as bands, attention over the video as it plays.
// Texts are put in as texts, never as HTML.
window.demo = (() => {
  const COLOURS = ['#2563eb', '#b45309', '#15803d', '#a21caf', '#be123c', '#0e7490', '#6d28d9', '#4d7c0f', '#c2410c', '#475569']
  const WELCOME = 'Upload a video or choose a sample, then press Recognize.'
  const UNPLAYABLE = 'This browser cannot play the video. It may be recognized all the same: names and timeline need no player.'
  const colours = new Map() // of names, in the order in which they come
  let attention = null // what is laid over the video
  const empty = {} // what draws a part without a result
  let status = null // the line of status
  let drawn = '' // for what it was drawn last
  let isAsked = false // whether what comes is of the video that is shown

  const find = (selector) => document.querySelector(selector)
  const percent = (score) => `${Math.round(100 * score)} %`.replace(' ', '\u202f')
  const seconds = (time) => `${Math.floor(time / 60)}:${(time % 60).toFixed(1).padStart(4, '0')}`
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
  const colour = (name) => {
    if (!colours.has(name)) colours.set(name, COLOURS[colours.size % COLOURS.length])
    return colours.get(name)
  }
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag)
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
    element.append(...children)
    return element
  }

  function header(element, { value: { title, model, classes, samples, suffixes } }) {
    const names = make('p', { class: 'classes' }, classes.slice(0, 12).join(' · '))
    if (classes.length > 12) {
      const rest = make('details', {}, make('summary', {}, 'all of them'), classes.join(' · '))
      names.append(' … ', rest)
    }
    const kind = make('p', { class: 'model' }, make('b', {}, model), ` · ${classes.length} classes`)
    element.replaceChildren(make('h1', {}, title), kind, names)
    watchPage(samples, suffixes)
  }

  function names(element, { value, rows }) {
    empty.names = () => names(element, { rows })
    if (value && !isAsked) return
    const bars = (value?.best || []).map(({ name, score }) => {
      const bar = make('i', { style: `width: ${100 * score}%; background: ${colour(name)}` })
      return make('li', {}, make('span', { title: name }, name), make('b', {}, percent(score)), make('div', {}, bar))
    })
    while (bars.length < rows) bars.push(make('li', { class: 'empty' }, make('span', {}, '–'), make('b', {}), make('div', {})))
    element.replaceChildren(make('ol', {}, ...bars), make('p', {}, value ? `What ${value.of} shows` : '\u00a0'))
  }

  function timeline(element, { value }) {
    empty.timeline = () => timeline(element, {})
    if (value && !isAsked) return
    const bands = (value || []).map(({ start, end, name, score }) => {
      const band = make('button', { style: `left: ${100 * start}%; width: ${100 * (end - start)}%; background: ${colour(name)}` }, name)
      band.onmouseenter = band.onfocus = () => (band.title = `${name}, ${percent(score)}, from ${seconds(start * length())}`)
      band.onclick = (event) => { // to where the pointer is; with a key, to the band's start
        const { left, width } = band.parentElement.getBoundingClientRect()
        seek(event.detail ? Math.min(Math.max((event.clientX - left) / width, start), end) : start)
      }
      return band
    })
    const track = make('div', { class: 'track' }, ...bands, make('i', { class: 'head' }))
    const legend = [...new Set((value || []).map((band) => band.name))].map((name) =>
      make('li', {}, make('i', { style: `background: ${colour(name)}` }), name)
    )
    const hint = make('li', {}, 'Here stands what is seen when; a click on it goes there.')
    element.replaceChildren(track, make('ul', {}, ...(legend.length ? legend : [hint])))
  }

  function attentionOf(element, { value }) {
    if (!element.firstChild) {
      const strength = make('input', { type: 'range', min: 0, max: 100, value: 60, 'aria-label': 'Strength of the attention' })
      strength.oninput = () => (drawn = '')
      const scale = make('span', { class: 'scale' }, 'none', make('i', {}), 'most of a frame')
      element.append(make('label', {}, 'Attention', strength), scale)
    }
    if (value && !isAsked) return
    attention = value && { ...value, maps: bytes(value.maps), colours: bytes(value.colours) }
    drawn = ''
    const video = find('#video video')
    if (attention && video) {
      video.loop = video.muted = true
      video.play().catch(() => {}) // a browser may not let it: the visitor does
    }
  }

  function note(element, { value }) {
    const isNew = status !== element
    status = element
    element.setAttribute('role', 'status')
    if (isNew) say(WELCOME)
    else if (!isAsked) return
    else if (value) say(value)
    else if (element.className !== 'error') say('Done. A click on the timeline goes there in the video.')
  }

  function say(words, kind = '') {
    status.className = kind
    status.textContent = words
  }

  const length = () => find('#video video')?.duration || 0

  function seek(part) {
    const video = find('#video video')
    if (video && isFinite(video.duration)) video.currentTime = Math.min(part * video.duration + 0.01, video.duration)
  }

  // The map at a part of the video, between the maps of the frames before and after it, as a small picture
  function picture(part) {
    const { times, rows, columns, maps, colours: table } = attention
    let after = times.findIndex((time) => time > part)
    if (after < 0) after = times.length - 1
    const before = Math.max(after - 1, 0)
    const share = Math.min(Math.max((part - times[before]) / (times[after] - times[before] || 1), 0), 1)
    const image = new ImageData(columns, rows)
    for (let place = 0; place < rows * columns; place++) {
      const level = (1 - share) * maps[before * rows * columns + place] + share * maps[after * rows * columns + place]
      image.data.set(table.subarray(3 * Math.round(level), 3 * Math.round(level) + 3), 4 * place)
      image.data[4 * place + 3] = 100 + (155 * level) / 255 // what has none darkens less than what has most is covered
    }
    const canvas = make('canvas', { width: columns, height: rows })
    canvas.getContext('2d').putImageData(image, 0, 0)
    return canvas
  }

  function follow() {
    requestAnimationFrame(follow)
    const video = find('#video video')
    const head = find('#timeline .head')
    const part = video?.duration ? video.currentTime / video.duration : 0
    if (head) head.style.left = `${100 * part}%`
    let layer = find('#video canvas.attention')
    if (!attention || !video?.videoWidth) return layer?.remove()
    if (!layer) find('#video').append((layer = make('canvas', { class: 'attention' })))
    const [around, outer] = [video.getBoundingClientRect(), find('#video').getBoundingClientRect()]
    const zoom = Math.min(around.width / video.videoWidth, around.height / video.videoHeight)
    const [width, height] = [video.videoWidth * zoom, video.videoHeight * zoom]
    const strength = find('#attention input').value / 100
    const now = [part, width, height, around.left - outer.left, around.top - outer.top, strength].join()
    if (now === drawn) return
    drawn = now
    layer.width = Math.ceil(width)
    layer.height = Math.ceil(height)
    layer.style.left = `${around.left - outer.left + (around.width - width) / 2}px`
    layer.style.top = `${around.top - outer.top + (around.height - height) / 2}px`
    const [left, top, right, bottom] = attention.box
    const context = layer.getContext('2d')
    context.imageSmoothingQuality = 'high'
    context.globalAlpha = strength
    context.drawImage(picture(part), left * width, top * height, (right - left) * width, (bottom - top) * height)
  }

  // A browser knows few suffixes of videos, and gradio takes what the browser knows
  function acceptAll(suffixes) {
    const { get } = Object.getOwnPropertyDescriptor(Blob.prototype, 'type')
    const isVideo = (name) => suffixes.some((suffix) => name.toLowerCase().endsWith(suffix))
    Object.defineProperty(File.prototype, 'type', { get() { return isVideo(this.name) ? 'video/mp4' : get.call(this) } })
  }

  function sayMessages() {
    for (const message of document.querySelectorAll('.toast-message-text:is(.error, .warning):not(.said)')) {
      message.classList.add('said')
      const words = message.textContent.trim()
      const [, name] = /^Invalid file types?: (.*)\. Only .* allowed\.$/s.exec(words) || []
      if (name) say(`${name} is not called like a video, e.g. .mp4, .webm, .avi or .gif.`, 'error')
      else say(words === 'Video not playable' ? UNPLAYABLE : words, 'error')
    }
  }

  function sayPlace() {
    const [, place, all] = /queue: (\d+)\/(\d+)/.exec(find("#note [data-testid='status-tracker']")?.textContent) || []
    const words = place ? `In the queue: ${place} of ${all}.` : 'Sent.'
    const isWaiting = /^(Sent|In the queue)/.test(status?.textContent)
    if (isWaiting && status.textContent !== words) say(words)
  }

  // Errors of the page's server and of uploads come as messages that vanish: they are said where they stay
  function watchPage(samples, suffixes) {
    if (demo.watched) return
    demo.watched = true
    acceptAll(suffixes)
    const watched = { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ['src'] }
    new MutationObserver(() => {
      sayMessages()
      sayPlace()
      document.querySelectorAll('#samples .gallery-item').forEach((button, place) => {
        if (samples[place] && button.dataset.name !== samples[place]) button.title = button.dataset.name = samples[place]
      })
      for (const video of document.querySelectorAll('video[src$=".gif" i]:not([poster])')) video.poster = video.src
      const input = find('#video input[type=file]')
      if (input && !input.accept.includes(suffixes[0])) input.accept += `,${suffixes.join()}`
      const video = find('#video video')
      if (video?.src !== demo.src) {
        for (const clear of Object.values(empty)) clear() // they are of another video
        say(video ? 'Press Recognize to see what is in the video.' : WELCOME)
        demo.src = video?.src
        attention = null
        isAsked = false // what still comes is of the video before
      }
    }).observe(document.body, watched)
    document.addEventListener('click', (event) => {
      if (!event.target.closest('#classify')) return
      isAsked = true
      say('Sent.')
    }, true)
    follow()
  }

  return { header, names, timeline, attention: attentionOf, note }
})()

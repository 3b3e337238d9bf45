package pocketgan.effects

import android.os.Process
import pocketgan.bundle.Bundle
import pocketgan.bundle.draws
import pocketgan.measure.Engine
import pocketgan.measure.NanoClock

/** A model that is ready, and how it was chosen. */
internal class Chosen(val candidate: Candidate, val model: PictureModel, val choice: Choice)

/**
 * Picks the fastest right candidate of a bundle on this phone, and remembers it for this [situation] of phone and app.
 * Before an engine is touched, the disk says whose turn it is: one that ends the process is left out the next time.
 *
 * @param concept that it is to draw; what it draws as it stands where null. All concepts of an entry take as long: what
 *   was measured of one holds for those that the same entries draw.
 * @param wasEnded whether someone ended that process of the app, so that no engine is to blame.
 */
internal class Choosing(
    private val slot: Slot,
    private val bundle: Bundle,
    engines: List<Engine>,
    threads: Int,
    phone: String,
    private val clock: NanoClock,
    private val concept: String?,
    wasEnded: (process: Int) -> Boolean,
) {
    private val leftOut = LinkedHashMap<String, String>()
    private val candidates = candidatesOf(bundle, concept, engines, threads) { entry, why -> leftOut[entry] = why }
    private val situation = "$phone, $threads threads: ${candidates.joinToString { it.name }}"
    private val file = slot.choice(bundle.digest, concept.takeIf { isOfSome(engines) })
    private val known = file.read()?.takeIf { it.situation == situation }
    private val died = whoDied()
    private val isForgiven = died != null && died.candidate !in known?.forgiven.orEmpty() && wasEnded(died.process)
    private val crashed = known?.crashed.orEmpty() + listOfNotNull(died?.candidate.takeUnless { isForgiven })
    private val forgiven = known?.forgiven.orEmpty() + listOfNotNull(died?.candidate.takeIf { isForgiven })

    /** Whether nothing is to be measured. */
    val isKnown: Boolean get() = known != null && known.medianNs.isNotEmpty() && known.crashed.size == crashed.size

    /**
     * The remembered one if it still loads, else the one that a new measurement finds.
     *
     * @throws EffectException none can be used, and why not.
     */
    fun choose(): Chosen {
        remember(known ?: Choice(situation))
        slot.trying.delete()
        if (isKnown) remembered(known!!)?.let { return it }
        return measured()
    }

    private fun remembered(choice: Choice): Chosen? {
        val candidate = candidates.firstOrNull { it.name == choice.medianNs.keys.first() } ?: return null
        var model: PictureModel? = null
        // A library can be gone, memory short. Then the others are worth a look.
        attempt({ model = drawing(candidate) }) {}
        return model?.let { Chosen(candidate, it, choice) }
    }

    /**
     * The candidate of that name, loaded to draw the concept.
     *
     * @throws EffectException it cannot, and why.
     */
    fun draw(name: String): PictureModel {
        val candidate = candidates.firstOrNull { it.name == name }
            ?: throw EffectException("effect ${slot.name}: $name does not draw $concept; open the effect anew with it")
        attempt({ return drawing(candidate) }) {
            throw EffectException("effect ${slot.name}: $name cannot draw $concept: ${lineOf(it)}", it)
        }
        error("attempt returns or tells")
    }

    /** Loaded; the first time that it draws the concept of a pack, it must be right. */
    private fun drawing(candidate: Candidate): PictureModel {
        val name = drawn(candidate.name, concept)
        val isKnown = concept == null || name in known?.right.orEmpty()
        var model: PictureModel? = null
        try {
            trying(candidate) {
                model = load(candidate)
                if (!isKnown) model!!.mustBeRight()
            }
            if (!isKnown && known != null) remember(known.copy(right = known.right + name))
            return model!!
        } catch (problem: Throwable) {
            model?.close()
            throw problem
        }
    }

    private fun load(candidate: Candidate) = candidate.load(bundle, concept, slot.patched(bundle.digest))

    /** Whether only some of the entries that could be used draw the concept. */
    private fun isOfSome(engines: List<Engine>) = bundle.manifest.entries.any { entry ->
        engines.any { it.name == entry.runtime } && !bundle.manifest.draws(entry, concept)
    }

    private fun measured(): Chosen {
        crashed.forEach { leftOut[it] = "the app ended while it was tried" }
        val ready = candidates.filter { it.name !in crashed }.mapNotNull(::prepared)
        var chosen: Ready? = null
        try {
            val times = if (ready.size > 1) medians(ready, clock) { one, problem -> leaveOut(one, problem) } else emptyMap()
            val order = ready.filter { it.candidate.name !in leftOut }.sortedBy { times[it] ?: 0 }
            // What was right when it was cold must still be so.
            chosen = order.firstOrNull(::isRightStill)
            val usable = order.filter { it.candidate.name !in leftOut }
            if (chosen == null) throw EffectException(whyNone())
            val right = usable.map { drawn(it.candidate.name, concept) }
            val choice = Choice(situation, usable.associate { it.candidate.name to times[it] }, leftOut, right, crashed)
            remember(choice)
            return Chosen(chosen.candidate, chosen.model, choice)
        } finally {
            ready.filter { it !== chosen }.forEach { it.model.close() }
        }
    }

    /** Loaded, and right on the golden input. */
    private fun prepared(candidate: Candidate): Ready? {
        var model: PictureModel? = null
        attempt({
            trying(candidate) {
                model = load(candidate)
                model!!.mustBeRight()
            }
            return Ready(candidate, model!!)
        }) {
            model?.close()
            leaveOut(candidate, it)
        }
        return null
    }

    private fun isRightStill(ready: Ready): Boolean {
        attempt({
            trying(ready.candidate) { ready.model.mustBeRight() }
            return true
        }) { leaveOut(ready.candidate, it) }
        return false
    }

    private fun leaveOut(ready: Ready, problem: Throwable) = leaveOut(ready.candidate, problem)

    private fun leaveOut(candidate: Candidate, problem: Throwable) {
        leftOut[candidate.name] = lineOf(problem)
    }

    private fun lineOf(problem: Throwable): String {
        val line = problem.message.orEmpty().trim().lineSequence().first()
        return line.ifEmpty { problem.javaClass.simpleName }
    }

    private fun whyNone(): String {
        val reasons = leftOut.entries.joinToString("; ") { "${it.key}: ${it.value}" }
        return "bundle ${bundle.manifest.name} has no entry that runs here: $reasons"
    }

    private fun remember(choice: Choice) = file.write(choice.copy(crashed = crashed, forgiven = forgiven))

    private inline fun trying(candidate: Candidate, work: () -> Unit) {
        slot.trying.write(Trying(bundle.digest, situation, candidate.name, Process.myPid()))
        try {
            work()
        } finally {
            slot.trying.delete()
        }
    }

    /** Nobody else is choosing, as the slot is ours: what is being tried was tried by a process that died. */
    private fun whoDied(): Trying? =
        slot.trying.read()?.takeIf { it.digest == bundle.digest && it.situation == situation }

    private inner class Ready(val candidate: Candidate, val model: PictureModel) : Contender {
        private val picture = model.goldenPicture()
        private val made = model.newOutput()

        override fun turn(frames: () -> Unit) = trying(candidate) { frames() }

        override fun frame() = model.run(picture, made)
    }
}

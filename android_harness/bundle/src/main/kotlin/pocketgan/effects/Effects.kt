package pocketgan.effects

import android.content.Context
import android.os.Build
import android.os.Looper
import android.system.ErrnoException
import java.io.File
import java.io.IOException
import pocketgan.bundle.Bundle
import pocketgan.bundle.BundleException
import pocketgan.measure.Engine
import pocketgan.measure.NanoClock

/** How many replaced bundles are remembered as older. */
private const val MOST_REPLACED = 100

/**
 * The effects of an app, each a bundle under a name of the app's own. Their files lie in the app's private folder that
 * is never backed up. Calls take up to seconds and are refused on the main thread; any other thread will do.
 *
 * @param engines what the app has libraries for, such as `OnnxRuntimeEngine()`.
 */
class Effects internal constructor(
    context: Context,
    private val engines: List<Engine>,
    private val options: EffectOptions,
    private val clock: NanoClock,
) {
    constructor(context: Context, engines: List<Engine>, options: EffectOptions) :
        this(context, engines, options, NanoClock(System::nanoTime))

    // An effect outlives the activity that opened it.
    private val context = context.applicationContext ?: context
    private val root = File(context.noBackupFilesDir, "pocketgan")
    private val cache = File(context.cacheDir, "pocketgan")
    private val phone = "${Build.FINGERPRINT}, app ${appVersion(context)}"
    private val runtimes = engines.map { it.name }.toSet()

    /**
     * The effect of that name, ready to run: of the bundle in [source], which is verified and installed where it is
     * new; of the one that ran last where that is not possible, and [Effect.refused] says why.
     *
     * The first time on this phone, after an update of Android or of the app, and with a new bundle all entries are
     * measured for two seconds, and the fastest is remembered.
     *
     * @param source null for the one that is installed.
     * @param concept of a pack, which of its effects; its default where null. [Effect.switchTo] draws another one later.
     * @throws EffectException neither can be used.
     */
    @JvmOverloads
    @Throws(EffectException::class)
    fun open(name: String, source: BundleSource? = null, concept: String? = null): Effect {
        mustNotBeMain("Effects.open")
        return alone(name) { slot -> open(slot, source, concept) }
    }

    /**
     * Forget how fast its entries are and which ones ended the app: the next [open] measures again.
     *
     * @throws EffectException it cannot be stored.
     */
    @Throws(EffectException::class)
    fun forget(name: String) = alone(name) { slot ->
        slot.trying.delete()
        slot.installed.read()?.let { slot.forget(it.digest) }
        Unit
    }

    /**
     * Remove its files. Effects that are open go on.
     *
     * @throws EffectException they cannot be reached.
     */
    @Throws(EffectException::class)
    fun remove(name: String) = alone(name) { it.remove() }

    private fun open(slot: Slot, source: BundleSource?, concept: String?): Effect {
        val before = slot.installed.read()
        slot.sweep(before)
        var damage: EffectException? = null
        val last = before?.let { lastGood(slot, it) { problem -> damage = problem } }
        val isNew = source != null && (last == null || source.stamp == null || source.stamp != last.source)
        if (!isNew) {
            last ?: throw damage ?: EffectException("no effect ${slot.name} is installed; give its bundle")
            return effect(slot, last, concept)
        }
        val problem = try {
            return effect(slot, install(slot, source!!, before, last), concept)
        } catch (problem: EffectException) {
            problem
        }
        return effect(slot, last ?: throw problem, concept, problem)
    }

    /** The bundle that ran last, if its files are still what they were; their hashes are computed where they changed. */
    private inline fun lastGood(slot: Slot, installed: Installed, damaged: (EffectException) -> Unit): Installed? =
        try {
            told(slot.name) {
                val folder = slot.bundle(installed)
                openTrusted(folder, installed.digest, options).close()
                val now = stampsOf(folder)
                if (now == installed.files) return installed
                mustBeSound(folder, installed.digest, runtimes)
                installed.copy(files = now).also(slot.installed::write)
            }
        } catch (problem: EffectException) {
            damaged(problem)
            null
        }

    /** Unpack what [source] holds; [last] again if it is the same bundle. */
    private fun install(slot: Slot, source: BundleSource, before: Installed?, last: Installed?): Installed {
        val unpacked = unpack(source, slot, runtimes) { bundle ->
            mustBeWanted(bundle, before)
            last == null || bundle.digest != last.digest || !isSigned(slot, last, bundle)
        }
        if (unpacked == null) return last!!.copy(source = source.stamp).also(slot.installed::write)
        val (digest, folder) = unpacked.digest to unpacked.folder
        val replaced = before?.run { (replaced + this.digest) - digest }.orEmpty().takeLast(MOST_REPLACED)
        return Installed(digest, "${folder.fileName}", source.stamp, stampsOf(folder), replaced)
    }

    /** Whether the unpacked bundle has the signature that [bundle] has. */
    private fun isSigned(slot: Slot, last: Installed, bundle: Bundle): Boolean =
        openTrusted(slot.bundle(last), last.digest, options).use {
            it.signatureBytes.contentEquals(bundle.signatureBytes)
        }

    /** A bundle counts as installed once one of its entries runs. */
    private fun effect(slot: Slot, installed: Installed, concept: String?, refused: EffectException? = null): Effect =
        openTrusted(slot.bundle(installed), installed.digest, options).use { bundle ->
            val choosing = choosing(slot, bundle, concept)
            val isFirst = slot.installed.read() != installed
            if (!isFirst && !choosing.isKnown) mustBeSound(bundle.path, bundle.digest, runtimes)
            val chosen = choosing.choose()
            if (isFirst) {
                slot.installed.write(installed)
                slot.sweep(installed)
                slot.forgetOthers(installed.digest)
            }
            val drawn = concept ?: bundle.manifest.defaultConcept
            val concepts = bundle.manifest.concepts.map { EffectConcept(it.name, it.text) }
            Effect(slot.name, bundle.digest, concepts, chosen, drawn, refused) { next ->
                mustNotBeMain("Effect.switchTo")
                alone(slot.name) { redraw(it, installed, chosen.candidate.name, next) }
            }
        }

    /** Another concept of an effect that is open, by the same entry; checked as it is when the effect is opened. */
    private fun redraw(slot: Slot, opened: Installed, candidate: String, concept: String): PictureModel {
        val now = slot.installed.read()
        if (now?.digest != opened.digest || now.folder != opened.folder) {
            throw EffectException("effect ${slot.name}: its bundle was replaced or removed; open it anew")
        }
        val last = lastGood(slot, now) { throw it } ?: now
        return openTrusted(slot.bundle(last), last.digest, options).use { choosing(slot, it, concept).draw(candidate) }
    }

    private fun choosing(slot: Slot, bundle: Bundle, concept: String?): Choosing {
        val (name, there) = bundle.manifest.name to bundle.manifest.concepts.map { it.name }
        if (concept != null && concept !in there) {
            val what = if (there.isEmpty()) "is no pack" else "has: ${there.joinToString()}"
            throw EffectException("bundle $name has no concept $concept; it $what")
        }
        // Asked for by its name or not, the default is one.
        val drawn = concept ?: bundle.manifest.defaultConcept
        return Choosing(slot, bundle, engines, options.threads, phone, clock, drawn) { wasEnded(context, it) }
    }

    private fun mustNotBeMain(what: String) {
        if (Looper.getMainLooper().isCurrentThread) {
            throw IllegalStateException("$what takes up to seconds: call it on another thread than the main one")
        }
    }

    private fun mustBeWanted(bundle: Bundle, before: Installed?) {
        mustBeTrusted(bundle, options)
        if (!options.allowOlder && bundle.digest in before?.replaced.orEmpty()) {
            val name = bundle.manifest.name
            throw NotTrustedException("bundle $name is older than the installed one, which replaced it")
        }
    }

    private fun <T> alone(name: String, work: (Slot) -> T): T =
        told(name) { Slot(root, cache, name).run { exclusively { work(this) } } }
}

/** What goes wrong with the files of an effect, in one line that names it. */
private inline fun <T> told(name: String, work: () -> T): T =
    try {
        work()
    } catch (problem: BundleException) {
        throw EffectException("effect $name: ${problem.message}", problem)
    } catch (problem: IOException) {
        throw EffectException("effect $name: its files cannot be used: ${problem.message ?: problem}", problem)
    } catch (problem: ErrnoException) {
        throw EffectException("effect $name: its files cannot be used: ${problem.message}", problem)
    }

package pocketgan.effects

import android.os.Build
import pocketgan.bundle.Bundle
import pocketgan.bundle.Entry
import pocketgan.bundle.PatchedFiles
import pocketgan.bundle.draws
import pocketgan.measure.Engine
import pocketgan.measure.ModelPlan
import pocketgan.measure.ModelRequest
import pocketgan.measure.planModel
import pocketgan.schema.Job
import pocketgan.schema.Provider

/** The last Android whose NNAPI is not deprecated: 14. */
private const val LAST_WITH_NNAPI = Build.VERSION_CODES.UPSIDE_DOWN_CAKE

/** One way to compute an effect: an entry of the bundle, by one provider of its engine. */
internal class Candidate(val entry: Entry, val engine: Engine, private val provider: Provider, private val threads: Int) {
    /** Its name in what is remembered and told. */
    val name: String =
        if (provider == Provider.DEFAULT) entry.id else "${entry.id} on ${provider.name.lowercase()}"

    /** Load it as it draws [concept]; whatever the engine throws is about this candidate alone. */
    fun load(bundle: Bundle, concept: String?, patched: PatchedFiles): PictureModel {
        engine.start()
        val job = Job(
            bundle = bundle.digest,
            entry = entry.id,
            concept = concept,
            provider = provider,
            threads = threads.toLong(),
        )
        val plan: ModelPlan = planModel(bundle, entry, job, patched)
        return PictureModel(plan, engine.load(ModelRequest(plan, job)))
    }
}

/**
 * Every way to compute [concept] here, or what the bundle draws as it stands where that is null. What an engine's library
 * lacks shows when it is loaded.
 *
 * @param noted is told of each entry that cannot be one, and why.
 */
internal fun candidatesOf(
    bundle: Bundle, concept: String?, engines: List<Engine>, threads: Int, noted: (String, String) -> Unit,
): List<Candidate> = buildList {
    for (entry in bundle.manifest.entries) {
        val engine = engines.firstOrNull { it.name == entry.runtime }
        val why = when {
            engine == null -> "this app has no engine for ${entry.runtime}"
            !bundle.manifest.draws(entry, concept) -> "it does not draw $concept"
            else -> whyNoEffect(entry)
        }
        if (why != null) {
            noted(entry.id, why)
            continue
        }
        for (provider in providersFor(entry.runtime)) add(Candidate(entry, engine!!, provider, threads))
    }
}

/** Why running the entry needs more than a picture in and a picture out; null where it does not. */
private fun whyNoEffect(entry: Entry): String? {
    if (entry.components.size > 1) {
        val parts = entry.components.joinToString { it.name }
        return "it has several components ($parts), and effects run entries of one"
    }
    val (inputs, outputs) = entry.components.single().let { it.inputs to it.outputs }
    if (inputs.size > 1) return "it takes ${inputs.size} tensors (${inputs.joinToString { it.name }}), not one picture"
    if (outputs.size > 1) return "it gives ${outputs.size} tensors (${outputs.joinToString { it.name }}), not one picture"
    return whyNoPicture(inputs.single()) ?: whyNoPicture(outputs.single())
}

/** Where a runtime decides when it loads; other runtimes' files are made for one way. */
private fun providersFor(runtime: String): List<Provider> = when {
    runtime != "onnxruntime" -> listOf(Provider.DEFAULT)
    Build.VERSION.SDK_INT > LAST_WITH_NNAPI -> listOf(Provider.CPU, Provider.XNNPACK, Provider.QNN)
    else -> listOf(Provider.CPU, Provider.XNNPACK, Provider.NNAPI, Provider.QNN)
}

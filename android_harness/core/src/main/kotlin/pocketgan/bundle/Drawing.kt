package pocketgan.bundle

import pocketgan.json.quote

/**
 * How an entry draws one concept; the one place that knows. bench/schema/conformance/concepts.json pins it.
 *
 * @property concept its name; null in a bundle that is no pack.
 * @property form null where the entry draws it as it stands.
 * @property inputs golden ones, and [outputs] what should come of them.
 */
class Drawing internal constructor(
    private val manifest: Manifest,
    val entry: Entry,
    val concept: String?,
    val form: ConceptForm?,
) {
    val inputs: List<GoldenTensor>
    val outputs: List<GoldenTensor>

    init {
        val golden = goldenSet(form?.golden ?: entry.golden)
        inputs = golden.inputsOf?.let { goldenSet(it).inputs } ?: golden.inputs
        outputs = golden.outputs
    }

    /** As it was measured where the bundle was written. */
    val parity: Parity? get() = if (form == null) entry.parity else form.parity

    /**
     * Path in the bundle of the file or folder that a runtime opens for [component]; of a patch, what it is added to.
     *
     * @throws DamageException the entry point is none of several files.
     */
    fun model(component: Component): String = named(ConceptForm.Way.MODEL, component) ?: entryPoint(component)

    /** Path in the bundle of the patch of [component]'s file; null where it runs as it is. */
    fun patch(component: Component): String? = named(ConceptForm.Way.PATCH, component)

    /** The function of the file that draws it; null where the file has one function alone. */
    val function: String? get() = form?.name?.takeIf { form.way == ConceptForm.Way.FUNCTION }

    /** The files of [component] that it needs: those that draw other concepts alone are left out. */
    fun files(component: Component): List<FileRecord> {
        val forms = manifest.concepts.flatMap { it.forms }.filter { it.entry == entry.id }
        val named = forms.filter { it.way != ConceptForm.Way.FUNCTION }.map { it.name }.toSet()
        val others = named - listOfNotNull(form?.name).toSet()
        val start = entryPoints(component).toSet()
        val isModel = named(ConceptForm.Way.MODEL, component) != null
        val idle = if (isModel) others + start else others - start
        return component.files.filter { it.path !in idle }
    }

    private fun named(way: ConceptForm.Way, component: Component): String? =
        form?.name?.takeIf { form.way == way && component.files.any { file -> file.path == it } }

    private fun goldenSet(id: String) = manifest.golden.first { it.id == id }
}

/**
 * How [entry] draws [concept], or what it draws as it stands where that is null.
 *
 * @throws DamageException the bundle has no such concept, or the entry no form of it.
 */
fun drawing(manifest: Manifest, entry: Entry, concept: String?): Drawing {
    if (concept == null || concept == manifest.defaultConcept) {
        return Drawing(manifest, entry, manifest.defaultConcept, form = null)
    }
    val all = manifest.concepts.map { it.name }
    if (all.isEmpty()) throw DamageException("is no pack of concepts, it draws one effect alone")
    if (concept !in all) throw DamageException("has no concept $concept; it has: ${all.joinToString()}")
    val forms = manifest.concepts.associate { known -> known.name to known.forms.firstOrNull { it.entry == entry.id } }
    val drawn = all.filter { manifest.draws(entry, it) }.sortedBy { it != manifest.defaultConcept }
    val form = forms[concept]
        ?: throw DamageException("${entry.id} does not draw $concept; it draws: ${drawn.joinToString()}")
    return Drawing(manifest, entry, concept, form)
}

/** Whether [entry] draws [concept], or anything where that is null. */
fun Manifest.draws(entry: Entry, concept: String?): Boolean = concept == null || concept == defaultConcept ||
    concepts.any { known -> known.name == concept && known.forms.any { it.entry == entry.id } }

/** The same of an open bundle; @throws BundleException as it says. */
fun Bundle.drawing(entry: Entry, concept: String?): Drawing = reading(path) { drawing(manifest, entry, concept) }

private fun entryPoint(component: Component): String =
    entryPoints(component).singleOrNull() ?: component.files.singleOrNull()?.path ?: throw DamageException(
        "component ${component.name}: its entry point ${quote(component.entryPoint)} is none of its files",
    )

/** The entry point as paths in the bundle, whole or as a path's end. */
private fun entryPoints(component: Component): List<String> {
    // A package is a folder: every folder above a file counts.
    val there = component.files.flatMap { it.path.split("/").runningReduce { above, part -> "$above/$part" } }.distinct()
    return there.filter { it == component.entryPoint || it.endsWith("/${component.entryPoint}") }
}
